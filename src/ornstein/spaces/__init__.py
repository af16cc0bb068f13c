"""The kinds of data: what noise means for each."""

from .base import Mask, Space, Transition
from .categorical import Categorical, Choice, Stationary
from .centered import Centered
from .euclidean import Euclidean
from .gaussians import Correlated, Gaussian, Structured
from .markov import Markov, RedrawKernel, Substitution
from .ordered import Autoregressive
from .paths import ONE_CLOCK, TimePath
from .product import Independent, Product

__all__ = [
    "ONE_CLOCK",
    "Autoregressive",
    "Categorical",
    "Centered",
    "Choice",
    "Correlated",
    "Euclidean",
    "Gaussian",
    "Independent",
    "Markov",
    "Mask",
    "Product",
    "RedrawKernel",
    "Space",
    "Stationary",
    "Structured",
    "Substitution",
    "TimePath",
    "Transition",
]
