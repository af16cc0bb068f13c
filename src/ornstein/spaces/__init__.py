"""The kinds of data: what noise means for each."""

from .base import Mask, Space, Transition
from .categorical import Categorical, Choice
from .euclidean import Centered, Euclidean
from .gaussians import Correlated, Gaussian
from .markov import Markov, Resample, Substitution
from .ordered import Ordered
from .product import Independent, Product

__all__ = [
    "Categorical",
    "Centered",
    "Choice",
    "Correlated",
    "Euclidean",
    "Gaussian",
    "Independent",
    "Markov",
    "Mask",
    "Ordered",
    "Product",
    "Resample",
    "Space",
    "Substitution",
    "Transition",
]
