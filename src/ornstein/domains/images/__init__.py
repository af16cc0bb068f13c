"""Pictures: handwritten digits, or arrays of your own."""

from .factors import label

__all__ = ["label"]
