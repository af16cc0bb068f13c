"""What cannot be asked of `sample`: each says so in an InputError before any work is done."""

from numbers import Integral
from typing import Any

from ..denoisers.base import Condition, Denoiser
from ..denoisers.composition import Composed, Mixed, within
from ..denoisers.mapped import map_of, physical, states_of
from ..errors import InputError
from ..guidance.factors import Factored
from ..keys import Keys
from ..mcmc.targets import Targeted
from ..spaces import Space
from ..states import State, batch_size, take
from ..values import require_whole


def require_sense(denoiser: Any, n: Any, seed: Any, first: Any) -> None:
    """InputError unless it is a model, and whole numbers say how many samples it draws, and which."""
    if not isinstance(denoiser, Denoiser):
        found = repr(denoiser) if isinstance(denoiser, str) else f"a {type(denoiser).__name__}"
        raise InputError(f"{found} is drawn from, expected a model, such as ornstein.load('images/digits')")
    require_whole("n", n, 1)
    require_whole("first", first, 0)
    if not isinstance(seed, Integral) or not 0 <= seed < 2**64:  # pyright: ignore[reportOperatorIssue]
        raise InputError(f"seed is {seed!r}, expected a whole number from 0 to 2⁶⁴ − 1")


def require_steps(denoiser: Denoiser, how: Any) -> None:
    """InputError for settings of a walk from noise to data, where a model draws in one step.

    Args:
        how: the way to draw, an `Engine`.
    """
    if not denoiser.one_step:
        return
    if how.exact != "off":
        raise InputError(
            f"exact={how.exact!r} weighs samples on their way from noise to data, but {denoiser!r} draws in one step; "
            "take a model that is trained by diffusion"
        )
    for name in ("steps", "eta", "order", "grid", "restarts", "restart_at", "sampler", "start"):
        value = getattr(how, name)
        if value is not None and (name, value) != ("steps", 1):
            said = f"a {name} is given" if name in ("sampler", "start") else f"{name} is {value}"
            raise InputError(f"{said}, but {denoiser!r} draws in one step" + ": steps = 1" * (name == "steps"))


def require_start(start: State, n: int, space: Space, masked: bool = False) -> None:
    """InputError if there is not one clean state to begin with for each sample.

    Args:
        masked: states are padded, so that what stands in them is not all clean data.
    """
    if not masked:
        space.check(start, "start")
    _require_count(start, n)


def start_of(denoiser: Denoiser, start: State, n: int, condition: Condition) -> Any:
    """The clean states of what a user begins with: of fields, where the model has a map.

    Args:
        start: one a sample.
        condition: what each sample is given, name → (batch, ...).

    InputError if there is not one for each sample.
    """
    if denoiser.map is not None:
        _require_count(start, n)
        start = states_of(denoiser, start, condition)
    require_start(start, n, denoiser.space, masked="mask" in condition)
    return start


def _require_count(start: State, n: int) -> None:
    if batch_size(start) != n:
        raise InputError(f"start has {batch_size(start)} states, expected one for each of {n} samples")


def require_map(denoiser: Denoiser, n: int, condition: Condition) -> None:
    """InputError unless the model's map, if it has one, finds what it is made of in what the n samples are given."""
    map = map_of(denoiser, condition, n)
    if map is not None:
        one = map_of(denoiser, take(condition, slice(1)), 1)
        assert one is not None
        one(denoiser.space.prior(Keys.of(0, 1, denoiser.device)))


def require_shared(denoiser: Denoiser, condition: Condition) -> None:
    """InputError if a factor says different things of different samples: those are as many posteriors.

    Args:
        condition: what each sample is given, name → (batch, ...).
    """
    one = physical(denoiser, denoiser.space.prior(Keys.of(0, 1, denoiser.device)), take(condition, slice(1)))
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
