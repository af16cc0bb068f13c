"""What was observed of today: readings of files, the moments and places that they are of, and their likelihoods."""
