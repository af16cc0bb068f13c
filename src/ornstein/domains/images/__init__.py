"""Pictures from words or classes: emoji, clothes, digits, or your own."""

from typing import TYPE_CHECKING

from ...deprecation import names
from .factors import Brightness, blurred, coarse, inpainted, label, projected, prompt

__all__ = ["Brightness", "blurred", "coarse", "inpainted", "label", "projected", "prompt"]


if not TYPE_CHECKING:  # old names, for one version
    __getattr__ = names(__name__, {"Ink": "Brightness"})
