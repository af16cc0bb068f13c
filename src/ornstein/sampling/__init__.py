"""Sampling: time grids, the kernels that walk them, populations, likelihoods."""
