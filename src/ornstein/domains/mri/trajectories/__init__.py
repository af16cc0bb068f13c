"""What of k-space is measured."""
