"""What was drawn: ensembles on the disk, read again, shown and judged."""
