"""What cannot be asked of `sample`: each says so in an InputError before any work is done."""

from ..denoisers.base import Condition, Denoiser
from ..denoisers.composition import Composed, Mixed, within
from ..errors import InputError
from ..guidance.factors import Factored
from ..keys import Keys
from ..mcmc.targets import Targeted
from ..sampling.sampler import Sampler
from ..states import State, batch_size


def require_sense(exact: str, steps: int | None, particles: int | None, temper: float, batch_size: int | None) -> None:
    """InputError where a setting is out of range, or would be ignored."""
    if exact not in ("off", "particles", "mcmc"):
        raise InputError(f"exact is {exact!r}, expected off, particles or mcmc")
    if exact == "off" and particles is not None:
        raise InputError("particles are for exact='particles' and exact='mcmc'")
    if exact != "particles" and temper:
        raise InputError("temper is for exact='particles'")
    for name, value, least in (("steps", steps, 1), ("particles", particles, 2), ("batch_size", batch_size, 1)):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")


def require_start(start: State | None, strength: float, exact: str, n: int) -> None:
    """InputError if samples cannot begin with these states."""
    if start is None and strength != 1:
        raise InputError(f"strength is {strength}, but there is no start to be noised")
    if start is None:
        return
    if not 0 < strength <= 1:
        raise InputError(f"strength is {strength}, expected a time in (0, 1] up to which the start is noised")
    if exact != "off":
        raise InputError(f"exact is {exact}: samples that start from given ones follow no distribution of their own")
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


def require_one_population(
    batch_size: int | None, film: bool, eta: float, order: int | None, sampler: Sampler | None
) -> None:
    """InputError where a setting of independent samples is asked of a population."""
    asked = {
        "batch_size": batch_size is not None,
        "film": film,
        "eta": eta != 0,
        "order": order is not None,
        "sampler": sampler is not None,
    }
    for name, given in asked.items():
        if given:
            raise InputError(f"{name} is for independent samples; with exact they are one population")


def require_one_condition(given: Condition) -> None:
    """InputError if samples are given different conditions: those have as many densities."""
    for name, value in given.items():
        if (value != value[:1]).any():
            raise InputError(f"condition {name!r} differs between samples: mcmc corrects to one density a call")
