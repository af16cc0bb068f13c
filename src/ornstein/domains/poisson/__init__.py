"""Equations: solutions that are sampled, of sources that are known in part."""
