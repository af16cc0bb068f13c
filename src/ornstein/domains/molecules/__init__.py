"""Molecules in three dimensions: whole ones, guided by what is wanted of them."""

from .factors import apart, bound, fixed, hydrogen_bond, relaxed, wanted

__all__ = ["apart", "bound", "fixed", "hydrogen_bond", "relaxed", "wanted"]
