"""What files.py is built on and leads to: locks (who holds a folder, what was left), trees (folders of many files),
arrays (.npz)."""
