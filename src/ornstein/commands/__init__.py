"""What a command line is made of: flags from typed functions, their manual and completion, and how commands end."""
