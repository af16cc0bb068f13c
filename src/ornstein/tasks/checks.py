"""What cannot be asked of `sample`: each says so in an InputError before any work is done."""

from numbers import Integral
from typing import Any

from ..denoisers.base import Condition, Denoiser
from ..denoisers.composition import Composed, Mixed, within
from ..errors import InputError
from ..guidance.factors import Factored
from ..guidance.values import require_whole
from ..keys import Keys
from ..mcmc.targets import Targeted
from ..spaces import Space
from ..states import State, batch_size


def require_sense(denoiser: Any, n: Any, seed: Any, first: Any) -> None:
    """InputError unless it is a model, and whole numbers say how many samples it draws, and which."""
    if not isinstance(denoiser, Denoiser):
        found = repr(denoiser) if isinstance(denoiser, str) else f"a {type(denoiser).__name__}"
        raise InputError(f"{found} is drawn from, expected a model, such as ornstein.load('images/digits')")
    require_whole("n", n, 1)
    require_whole("first", first, 0)
    if not isinstance(seed, Integral) or not 0 <= seed < 2**64:  # pyright: ignore[reportOperatorIssue]
        raise InputError(f"seed is {seed!r}, expected a whole number from 0 to 2⁶⁴ − 1")


def require_start(start: State, n: int, space: Space, masked: bool = False) -> None:
    """InputError if there is not one clean state to begin with for each sample.

    Args:
        masked: states are padded, so that what stands in them is not all clean data.
    """
    if not masked:
        space.check(start, "start")
    if batch_size(start) != n:
        raise InputError(f"start has {batch_size(start)} states, expected one for each of {n} samples")


def require_shared(denoiser: Denoiser) -> None:
    """InputError if a factor says different things of different samples: those are as many posteriors."""
    one = denoiser.space.prior(Keys.of(0, 1, denoiser.device))
    for factor in getattr(denoiser, "factors", ()):
        if not factor.shared(one):
            raise InputError(
                f"{type(factor).__name__} is of one sample each; ask for one posterior a call, in one batch"
            )


def require_factors_outside(denoiser: Denoiser) -> None:
    """InputError if a factor, a target or a product hides where particles would not weigh it."""
    if isinstance(denoiser, Targeted):
        raise InputError("a Boltzmann target is for exact='mcmc'; particles would weigh the model alone")
    inner = denoiser.denoiser if isinstance(denoiser, Factored) else denoiser
    if any(isinstance(part, Factored) for part in within(inner)):
        raise InputError("factors go outside to be exact: mixture([a, b]) & factor, not mixture([a & factor, b])")
    mixed = [part for part in (inner, *within(inner)) if isinstance(part, Mixed)]
    if any(isinstance(part, Composed) for whole in mixed for part in within(whole)):
        raise InputError("particles cannot weigh a mixture of products")


def require_one_condition(given: Condition) -> None:
    """InputError if samples are given different conditions: those have as many densities."""
    for name, value in given.items():
        if (value != value[:1]).any():
            raise InputError(f"condition {name!r} differs between samples: mcmc corrects to one density a call")
