"""Files that people send and name: whether they are what they say, where they are kept, and which models they make."""
