"""Images of magnetic resonance from undersampled k-space, with what is not known of them."""
