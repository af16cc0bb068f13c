"""What is asked of a prior of images: flags, and the slices of a scan that they name."""
