"""The colours of all plots, told apart with every kind of colour vision: see tests/test_palette.py.

Plots are drawn for white paper; style.css lays them on a white sheet where a page is dark.
"""

INK, RED, TEAL, ORANGE, VIOLET = SERIES = ("#1f4e79", "#c94329", "#20a394", "#e39e29", "#9582c8")
"""Of curves and bars, in this order: what is ours first, what it is compared with next."""

GREY = "#b8b8b8"
"""Of what is right: the band or the line of a calibrated forecast."""

RULE, TRUTH = "#555555", "#222222"
"""Of lines to read off by, and of what was really so."""

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
"""Colour maps of a field, and of one whose sign matters."""

HEIGHTS, DENSITY = "YlGnBu_r", "Blues"
"""Colour maps of an energy from its lowest point up, and of a probability."""
