"""Molecules in three dimensions: whole ones, guided by what is wanted of them."""

from .factors import apart, bound, counted, fixed, foreseen, hydrogen_bond, predicted, relaxed, wanted

__all__ = ["apart", "bound", "counted", "fixed", "foreseen", "hydrogen_bond", "predicted", "relaxed", "wanted"]
