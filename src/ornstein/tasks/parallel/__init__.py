"""Draws that are cut into independent pieces of work: shards of one request, and many requests."""
