"""Pictures from words or classes: emoji, clothes, digits, or your own."""

from .factors import Ink, blurred, coarse, inpainted, label, prompt

__all__ = ["Ink", "blurred", "coarse", "inpainted", "label", "prompt"]
