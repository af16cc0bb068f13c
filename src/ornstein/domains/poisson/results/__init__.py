"""What was drawn: each sample with its solution, its files and its pictures."""
