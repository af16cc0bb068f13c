"""Linear operators y = A x with their adjoints, sample by sample; solves.py has the equations they lead to.

    (A @ B)(x) = A(B(x)),      ⟨A x, y⟩ = ⟨x, Aᵀ y⟩,      stack(A, B)(x) = (A x, B x)

`linear` makes an operator of any function that is linear, `tangent` of one that is not, at a point. A measurement whose
noise is correlated is whitened: W y = (W A) x + unit noise, with Wᵀ W the inverse of the noise's covariance.
"""

from typing import TYPE_CHECKING

from ...deprecation import names
from .base import Composition, Operator, require_event
from .complexes import RealParts, real_parts
from .convolutions import Blur
from .fourier import Fourier
from .functions import LinearFunction, linear, tangent
from .masks import Centered, Mask
from .matrices import Matrix, whitener
from .resolution import Downsample
from .stacks import Stack, stack

__all__ = [
    "Blur", "Centered", "Composition", "Downsample", "Fourier", "LinearFunction", "Mask", "Matrix", "Operator",
    "RealParts", "Stack", "linear", "real_parts", "require_event", "stack", "tangent", "whitener",
]  # fmt: skip

if not TYPE_CHECKING:  # old names, for one version
    __getattr__ = names(
        __name__, {"Coarse": "Downsample", "Linear": "LinearFunction", "Relative": "Centered", "Subset": "Mask"}
    )
