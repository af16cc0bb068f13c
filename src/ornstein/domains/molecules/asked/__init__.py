"""What is asked of molecules: the flags, what they mean, and the molecules that they name."""
