"""Equations of a field and its source, discretised, with direct solvers: see the modules."""
