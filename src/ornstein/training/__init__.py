"""Training: data, batches, checkpoints, and the one trainer."""
