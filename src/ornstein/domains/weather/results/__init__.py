"""What was drawn: written, read again, shown and judged."""
