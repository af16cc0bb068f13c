"""What is made of samples: volumes, pictures, checks."""
