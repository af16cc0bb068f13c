"""Worlds to learn weather from: a turbulence whose equations are known, and two sets of real stations."""
