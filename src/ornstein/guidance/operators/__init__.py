"""Linear operators y = A x with their adjoints, sample by sample; solves.py has the equations they lead to.

    (A @ B)(x) = A(B(x)),    (A + 2.0 * B)(x) = A x + 2 B x,    stack(A, B)(x) = (A x, B x),    Re⟨A x, y⟩ = Re⟨x, Aᵀ y⟩

They act on real and complex fields; states are real, and `Complex` makes a complex field of one. What depends on the
sample (masks, maps, kernels, points) may have a batch axis: per_sample=True.

`linear` makes an operator of any function that is linear, `tangent` of one that is not, at a point. A measurement whose
noise is correlated is whitened: W y = (W A) x + unit noise, with Wᵀ W the inverse of the noise's covariance.
"""

from typing import TYPE_CHECKING

from ...deprecation import names
from .base import Adjoint, Composition, Operator, Scaled, Sum, real_part, require_event
from .complexes import Complex, RealParts, real_parts
from .convolutions import Blur, Convolution
from .derivatives import Divergence, Gradient, Laplacian
from .fourier import Fourier, RealFourier
from .functions import LinearFunction, linear, tangent
from .interpolation import Interpolation
from .masks import Centered, Mask
from .matrices import Matrix, whitener
from .pointwise import Multiply
from .radon import Radon
from .resolution import Crop, Downsample, Pad, Upsample
from .stacks import Stack, stack

__all__ = [
    "Adjoint", "Blur", "Centered", "Complex", "Composition", "Convolution", "Crop", "Divergence", "Downsample",
    "Fourier", "Gradient", "Interpolation", "Laplacian", "LinearFunction", "Mask", "Matrix", "Multiply", "Operator",
    "Pad", "Radon", "RealFourier", "RealParts", "Scaled", "Stack", "Sum", "Upsample", "linear", "real_part",
    "real_parts", "require_event", "stack", "tangent", "whitener",
]  # fmt: skip

if not TYPE_CHECKING:  # old names, for one version
    __getattr__ = names(
        __name__, {"Coarse": "Downsample", "Linear": "LinearFunction", "Relative": "Centered", "Subset": "Mask"}
    )
