"""Tasks: what a domain answers, and what is done with the answers: draw, save, calibrate, judge."""
