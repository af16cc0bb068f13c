"""More than one process: pools of workers for what is independent, ranks for what must talk, and places for files.

Nothing here knows of samples: see tasks/parallel/shards.py for how they are cut into pieces of work.
"""
