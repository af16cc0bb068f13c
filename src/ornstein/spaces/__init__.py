"""The kinds of data: what noise means for each."""

from .base import Mask, Space, Transition
from .categorical import Categorical, Choice
from .euclidean import Centered, Euclidean, Gaussian
from .markov import Markov, Resample, Substitution
from .product import Independent, Product

__all__ = [
    "Categorical",
    "Centered",
    "Choice",
    "Euclidean",
    "Gaussian",
    "Independent",
    "Markov",
    "Mask",
    "Product",
    "Resample",
    "Space",
    "Substitution",
    "Transition",
]
