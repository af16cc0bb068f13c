"""Random sources on the unit interval, square or cube, for training and for tests.

gaussian    ρ = Σ_k √v_k z_k c_k,      v_k ∝ (π²|k|² + τ²)^(−α),  k ≠ 0,      z_k ~ N(0, 1)

            c_k orthonormal cosines, k_i = 0, 1, 2, … half waves along the axis; root mean square 1 and, but for a
            thousandth of the widest mode, no mean. α = 2 and τ = 3 are those of Li et al. 2021 (arXiv 2010.08895).

discs       ρ(x) = Σ_{j ≤ N} a_j / (1 + exp((|x − c_j| − r_j) / w_j))

            N uniform on 3 … 10, and independently for each disc its centre c_j uniform on the domain, sign fair, |a_j|
            uniform on (0.5, 1.5), radius r_j on (0.04, 0.12) and softness of the edge w_j on (0.005, 0.012), in lengths
            of the domain. Discs overlap, and add up; some are cut by the border. In one dimension they are intervals,
            in three balls.

Of 64² discs the best linear estimator knows, from 123 sensors with noise of a thousandth, the source to 48 % and the
solution of Poisson's equation to 31 % where the source is seen, to 34 % and 3.6 % where the solution is.

The values are those at the centres of the cells, (i + ½)/n along an axis of n.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from ...config import suggestion
from ...errors import InputError
from ...keys import Keys
from ...spaces import Structured
from ...spectral.roots import Spectral
from ...spectral.transforms import Separable, require_sizes
from ...values import require_positive

ALPHA, TAU = 2.0, 3.0
"""Of the Gaussian sources, if not said."""
MEAN = 1e-6
"""The variance of the mean mode, as a share of that of the widest wave: a spectrum has no zeros."""
DISCS = (3, 10)
"""Of one source, at least and at most."""
AMPLITUDE = (0.5, 1.5)
"""Of a disc, in the unit of the source, without its sign."""
RADIUS = (0.04, 0.12)
"""Of a disc, in lengths of the domain."""
EDGE = (0.005, 0.012)
"""Softness of a disc's edge, in lengths of the domain."""


def gaussian_spectrum(shape: Sequence[int], alpha: float = ALPHA, tau: float = TAU) -> Spectral:
    """The covariance of the Gaussian sources, in squared units of their root mean square.

    Args:
        shape: of the grid; axes of 1 before it are channels.
        alpha: how fast the variance of a mode falls, more than 0.
        tau: below about so many radians over the domain the spectrum is flat, more than 0.

    InputError for settings of which no spectrum can be made, and for a grid of one cell.
    """
    require_sizes(shape)
    require_positive("gaussian_spectrum: alpha", alpha)
    require_positive("gaussian_spectrum: tau", tau)
    if max(shape, default=1) < 2:
        raise InputError(f"gaussian_spectrum: the grid is {tuple(shape)}, expected more than one cell")
    power = (pi**2 * _square([torch.arange(n).double()[None] for n in shape])[0] + tau**2) ** -alpha
    power.view(-1)[0] = 0.0
    power.view(-1)[0] = MEAN * power.max()
    axes = [n for n in shape if n > 1]
    return Spectral.of(power / power.mean(), Separable(("cosine",) * len(axes)))


def draw(name: str, keys: Keys, shape: Sequence[int]) -> Float[Tensor, "batch 1 *grid"]:
    """Random sources, a function of the keys and the grid alone.

    Args:
        name: of the law, "gaussian" or "discs".
        keys: one a source.
        shape: of the grid: one axis, two or three.

    InputError for another law, and for a grid that has no such sources.
    """
    if name not in LAWS:
        raise InputError(f"sources {name!r} are unknown{suggestion(name, list(LAWS))}")
    require_sizes(shape)
    if not 1 <= len(shape) <= 3:
        raise InputError(f"sources: the grid is {tuple(shape)}, expected one axis, two or three")
    return LAWS[name](keys.fold(name), shape)[:, None].float()


def _gaussian(keys: Keys, shape: Sequence[int]) -> Float[Tensor, "batch *grid"]:
    mean = torch.zeros(len(keys), *shape, dtype=torch.float64)
    return Structured(mean, gaussian_spectrum(shape)).sample(keys)


def _discs(keys: Keys, shape: Sequence[int]) -> Float[Tensor, "batch *grid"]:
    least, most = DISCS
    number = least + (keys.fold("number").uniform(1) * (most - least + 1)).floor()
    source = torch.zeros(len(keys), *shape)
    for j in range(most):
        source += _disc(keys.fold(j), shape, j < number)
    return source


def _disc(keys: Keys, shape: Sequence[int], exists: Tensor) -> Float[Tensor, "batch *grid"]:
    """One disc a source, 0 where it does not exist; float32, as there are many and this is most of the work."""
    centre = keys.fold("centre").uniform(len(shape))
    amplitude, radius, edge = (
        low + (high - low) * keys.fold(word).uniform(1)
        for word, (low, high) in {"amplitude": AMPLITUDE, "radius": RADIUS, "edge": EDGE}.items()
    )
    sign = torch.where(keys.fold("sign").uniform(1) < 0.5, -1.0, 1.0)
    away = [((torch.arange(n).double() + 0.5) / n - centre[:, i, None]) / edge for i, n in enumerate(shape)]
    height, edges = (one.float().reshape(-1, *[1] * len(shape)) for one in (sign * amplitude * exists, radius / edge))
    return height * (edges - _square([one.float() for one in away]).sqrt()).sigmoid()


def _square(axes: Sequence[Float[Tensor, "batch _"]]) -> Float[Tensor, "batch *grid"]:
    """The sum of squares of coordinates, each along its own axis."""
    sizes = [part.shape[1] for part in axes]
    places = [[-1, *(n if i == j else 1 for j in range(len(axes)))] for i, n in enumerate(sizes)]
    return reduce(torch.add, [part.reshape(place) ** 2 for part, place in zip(axes, places, strict=True)])


LAWS: dict[str, Callable[[Keys, Sequence[int]], Tensor]] = {"gaussian": _gaussian, "discs": _discs}
"""By name: of keys and a grid, the values (batch, *grid)."""
