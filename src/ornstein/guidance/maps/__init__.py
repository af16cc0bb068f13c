"""The maps: standardised by variable and level, whitened, residual and base, a lifted boundary, positive and bounded.

    Standardised   mean + std · x            Log        low + exp x
    Residual       base + scale · x          Softplus   low + log(1 + exp x)
    Whitened       mean + L x, C = L Lᵀ      Logit      low + (high − low)/(1 + exp(−x))
    Lifted         lift + E x                Composed   outer(inner(x)), also outer @ inner

What a map is made of (a base, a scale, a bound, a lift) is a number, a tensor, or the name of a condition, which each
sample is given its own of. With fewer axes than the field it lines up with the first of them, as a mean of each
variable (variables,), or of each variable and level (variables, levels); axes of length 1 stand for all.
"""

from ...denoisers.maps import Composed, Map
from .elementwise import Elementwise, Log, Logit, Residual, Softplus, Standardised
from .whole import Lifted, Parts, Whitened

__all__ = [
    "Composed",
    "Elementwise",
    "Lifted",
    "Log",
    "Logit",
    "Map",
    "Parts",
    "Residual",
    "Softplus",
    "Standardised",
    "Whitened",
]
