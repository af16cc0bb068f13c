"""The three ways to draw, each with settings of its own and no others.

    Independent   samples one by one, along the flow or with fresh noise: as good as the steps and the guidance are
    Population    weighed and resampled until they follow the prior times its factors (sampling/particles.py)
    MCMC          drawn with their density, weighed, and moved by Metropolis's rule (mcmc/correction.py)

A setting is used or refused: `None` means "not said", and what a way to draw has no use for it does not take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ..denoisers.base import Denoiser
from ..distributed.ranks import ALONE, Ranks
from ..errors import InputError
from ..mcmc.budget import Effort
from ..sampling import grids
from ..sampling.kernels import Predictor, require_eta, require_order
from ..sampling.particles import Particles
from ..sampling.sampler import Sampler
from ..spaces import Product
from ..states import State, Time
from ..values import is_number, require_whole


@dataclass(frozen=True)
class Engine:
    """A way to draw.

    Attributes:
        exact: its name, as the argument `exact` of `sample` has it.
        words: what it draws.
    """

    exact: ClassVar[str]
    words: ClassVar[str]

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """The names of its settings."""
        return tuple(field.name for field in fields(cls))

    @property
    def said(self) -> Mapping[str, Any]:
        """The settings that were said."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def _require_whole(self, **least: int) -> None:
        """InputError unless these settings, where they are said, are whole numbers of at least so much."""
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None:
                require_whole(name, value, bound)


@dataclass(frozen=True)
class Independent(Engine):
    """Samples that know nothing of one another.

    Attributes:
        steps: of the time grid, one denoiser call each; 20 if not said. Models that draw in one step take 1.
        eta: fresh noise a step, 0 = deterministic flow, 1 = ancestral; 0 if not said. Categories are always ancestral.
        order: of the solver, 1 to 3; 3 with a corrector if deterministic, else 2, if not said.
        grid: auto (the one planned for the model, else asinh), uniform, log-snr, karras, asinh or flow.
        restarts: how often finished samples are noised again, up to `restart_at`, and drawn anew from there; not if
            not said. Each takes as many calls as the grid has steps below.
        restart_at: a time, 0 = data, 1 = noise.
        sampler: in the place of the six above.
        batch_size: samples drawn at once; all, if not said.
        start: clean states, one a sample, to begin with instead of noise: they are noised up to the time `strength`
            and denoised from there.
        strength: 1 forgets the start, near 0 it stays; 1 if not said.
        trajectory: keep the states of every step.
    """

    exact = "off"
    words = "independent samples"

    steps: int | None = None
    eta: float | None = None
    order: int | None = None
    grid: str | None = None
    restarts: int | None = None
    restart_at: float | None = None
    sampler: Sampler | None = None
    batch_size: int | None = None
    start: State | None = None
    strength: float | None = None
    trajectory: bool | None = None

    def __post_init__(self) -> None:
        self._require_whole(steps=1, batch_size=1)
        if self.order is not None:
            require_order(self.order)
        if self.eta is not None:
            require_eta(self.eta)
        self._require_restarts()
        for name in ("steps", "eta", "order", "grid", "restarts", "restart_at"):
            if self.sampler is not None and getattr(self, name) is not None:
                raise InputError(f"{name} is {getattr(self, name)}, but the sampler given decides it: give one of them")
        if self.strength is not None and self.start is None:
            raise InputError(f"strength is {self.strength}, but there is no start to be noised")
        if self.strength is not None and not (is_number(self.strength) and 0 < self.strength <= 1):
            raise InputError(
                f"strength is {self.strength!r}, expected a time in (0, 1] up to which the start is noised"
            )

    def _require_restarts(self) -> None:
        """InputError for restarts without a level, a level without restarts, or either out of range."""
        if self.restarts is not None and not (isinstance(self.restarts, int) and 0 <= self.restarts <= 1000):
            raise InputError(f"restarts is {self.restarts!r}, expected a whole number from 0 to 1000")
        if self.restart_at is not None and not (is_number(self.restart_at) and 0 < self.restart_at < 1):
            raise InputError(f"restart_at is {self.restart_at!r}, expected a time between 0 and 1")
        if self.restarts and self.restart_at is None:
            raise InputError(f"restarts is {self.restarts}: say up to which time noise is added, as restart_at")
        if self.restart_at is not None and self.restarts is None:
            raise InputError(f"restart_at is {self.restart_at}, but restarts are not asked for")

    def sampler_for(self, denoiser: Denoiser) -> Sampler:
        """The time grid and its kernel; InputError for settings that this kind of data has no use for."""
        if self.sampler is not None:
            return self._shortened(self.sampler)
        if denoiser.one_step:
            return Sampler(grids.uniform(1), (Predictor(eta=0.0),))
        if denoiser.space.schedule_and_std is None:
            for name in ("eta", "order"):
                if getattr(self, name) is not None:
                    raise InputError(f"{name} is {getattr(self, name)}, but {_kind(denoiser)} have no flow to follow")
        eta = 0.0 if self.eta is None else self.eta
        order = self.order or (3 if eta == 0 else 2)
        times: Sequence[Time] = grid_of(denoiser, self.grid, self.steps or 20)
        if self.restarts and self.restart_at is not None:
            times = grids.restarted(times, self.restart_at, self.restarts)
        return self._shortened(Sampler(times, (Predictor(eta, order, correct=eta == 0 and order > 1),)))

    def _shortened(self, sampler: Sampler) -> Sampler:
        """The sampler on a grid that begins at the time `strength`."""
        if self.strength in (None, 1):
            return sampler
        return Sampler([self.strength * time for time in sampler.grid], sampler.kernels, sampler.checkpoint)


@dataclass(frozen=True)
class Population(Engine):
    """One population of weighed particles, from which the samples are taken.

    Attributes:
        particles: its size; 512, or the samples if they are more, if not said.
        steps: of the time grid; 100 if not said.
        grid: auto is even in log σ/α for continuous data, which exact samples prefer to the grid of a flow, down to
            `grids.CLOSE` where the last step ends in the mean of x₀.
        temper: weakens the factors on the way where a population loses too many particles; see Particles.
        trajectory: keep the states of every step, each particle's with those of its ancestors.
        start: clean states, one a sample, of whose parts those are kept that the path of the model's data knows from
            the start (`TimePath.known`); samples are of the law given these.
        batch_size: particles that go through the network and the factors at once, so that a population may be larger
            than these have memory for; all, if not said. It changes results by round-off alone.
        ranks: of a torchrun launch, each of which holds a part of the population: `with launched() as ranks` of
            distributed/ranks.py. Every rank makes the same call and gets all samples; its events show its own part.
    """

    exact = "particles"
    words = "one population of particles"

    particles: int | None = None
    steps: int | None = None
    grid: str | None = None
    temper: float | None = None
    trajectory: bool | None = None
    start: State | None = None
    batch_size: int | None = None
    ranks: Ranks | None = None

    def __post_init__(self) -> None:
        self._require_whole(particles=2, steps=1, batch_size=1)
        if self.temper is not None and not (is_number(self.temper) and self.temper >= 0):
            raise InputError(f"temper is {self.temper!r}, expected a number of at least 0")

    def size(self, n: int) -> int:
        """Particles for n samples."""
        if self.particles is not None and self.particles < n:
            raise InputError(f"particles is {self.particles}, expected at least one for each of {n} samples")
        size, ranks = self.particles or max(n, 512), self.on.size
        if size < ranks:
            raise InputError(f"particles is {size}, expected at least one for each of {ranks} ranks")
        return size

    @property
    def on(self) -> Ranks:
        """The ranks that hold the population, this process alone if not said."""
        return self.ranks or ALONE

    def sampler_for(self, denoiser: Denoiser) -> Sampler:
        """The time grid and the particles' kernel."""
        space, name, steps = denoiser.space, self.grid, self.steps or 100
        kernel = Particles(temper=self.temper or 0.0, batch_size=self.batch_size, ranks=self.on)
        if name in (None, "auto"):
            name = "log-snr" if space.schedule_and_std is not None and not isinstance(space, Product) else "uniform"
            if name == "log-snr" and kernel.ends_in_points(space):
                return Sampler(grids.log_snr(steps, space, grids.CLOSE), (kernel,))
        return Sampler(grid_of(denoiser, name, steps), (kernel,))


@dataclass(frozen=True)
class MCMC(Engine):
    """Draws with their density, corrected to the density behind the denoiser.

    Attributes:
        particles: draws that are weighed, at least 2 n; 4 n if not said.
        steps: of the draws; 20 of the flow with its determinant, 200 of the ancestral chain, if not said.
        moves: of every sample by Metropolis's rule, after twice as many that learn the step; 20 if not said.
        check: particles of the search, a population that looks for lost modes, 0 = none; 2000 if not said.
        tolerance: the largest share of the mass that may be missing from what is called exact; .01 if not said.
        budget: evaluations of the energy, all included, or a time such as "5 min": the search goes on until no more
            than the tolerance could be missing, or the budget ends. One population of `check` particles if not said.
        trajectory: keep the states of every counted move.
    """

    exact = "mcmc"
    words = "draws corrected by Metropolis's rule"

    particles: int | None = None
    steps: int | None = None
    moves: int | None = None
    check: int | None = None
    tolerance: float | None = None
    budget: int | str | None = None
    trajectory: bool | None = None

    def __post_init__(self) -> None:
        self._require_whole(particles=2, steps=1, moves=1, check=0)
        self.effort()

    def effort(self) -> Effort:
        """What the correction may cost."""
        said = {name: getattr(self, name) for name in ("moves", "check", "tolerance", "budget")}
        return Effort.of(**{name: value for name, value in said.items() if value is not None})

    def proposals(self, n: int) -> int:
        """Draws for n samples."""
        if self.particles is not None and self.particles < 2 * n:
            raise InputError(f"particles is {self.particles}, expected at least two draws for each of {n} samples")
        return self.particles or 4 * n


ENGINES: Mapping[str, type[Engine]] = {engine.exact: engine for engine in (Independent, Population, MCMC)}


def engine(exact: str, settings: Mapping[str, Any]) -> Engine:
    """The way to draw of that name; InputError for what is said that it does not take."""
    if exact not in ENGINES:
        raise InputError(f"exact is {exact!r}, expected {', '.join(ENGINES)}")
    chosen, said = ENGINES[exact], {name: value for name, value in settings.items() if value is not None}
    for name in said:
        if name in chosen.settings():
            continue
        others = [other for other in ENGINES.values() if name in other.settings()]
        if not others:
            raise InputError(f"sample takes no {name!r}; with exact={exact!r} there are {', '.join(chosen.settings())}")
        owners = " and ".join(other.words for other in others)
        why = ": samples that start from given ones follow no distribution of their own" if name == "start" else ""
        raise InputError(f"{name} is for {owners}; with exact={exact!r} they are {chosen.words}{why}")
    return chosen(**said)


def record(how: Engine) -> dict[str, Any]:
    """The settings that were said, in JSON values."""
    said = {name: value for name, value in how.said.items() if name not in ("sampler", "start", "ranks")}
    return {"exact": how.exact, **said}


def path_of(denoiser: Denoiser) -> dict[str, Any]:
    """The path that samples are drawn on, for manifests; nothing where all parts are at one time."""
    space = denoiser.space
    return {"path": space.path.record()} if isinstance(space, Product) and space.path else {}


def grid_of(denoiser: Denoiser, name: str | None, steps: int) -> grids.Grid:
    """The times of that name; InputError where it needs noise levels that the data do not have.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        steps: intervals of the time grid.
    """
    if name in (None, "auto"):
        return grids.fit(denoiser, steps)
    if name not in grids.NAMED:
        raise InputError(f"grid is {name!r}, expected auto, {', '.join(grids.NAMED)}")
    if denoiser.space.schedule_and_std is None and name != "uniform":
        raise InputError(f"grid is {name!r}, but {_kind(denoiser)} have no noise level σ/α; take uniform")
    if denoiser.space.paced and name != "uniform":
        raise InputError(f"grid is {name!r}, but the model's path says the noise levels of all steps; take uniform")
    return grids.named(name, steps, denoiser.space)


def _kind(denoiser: Denoiser) -> str:
    return f"states of {type(denoiser.space).__name__}"
