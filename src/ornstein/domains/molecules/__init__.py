"""Molecules in three dimensions: whole ones, guided by what is wanted of them."""
