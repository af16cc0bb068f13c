"""Pictures: handwritten digits, or arrays of your own."""

from .factors import Ink, blurred, coarse, inpainted, label

__all__ = ["Ink", "blurred", "coarse", "inpainted", "label"]
