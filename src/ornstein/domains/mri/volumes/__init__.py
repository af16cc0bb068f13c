"""Volumes to learn from, and the slices that are made of them."""
