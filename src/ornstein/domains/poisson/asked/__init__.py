"""What is asked: the flags, the equation they mean, what is known, and the files of the user's."""
