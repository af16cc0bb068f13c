"""Drawing: one stream of events for every way to draw, and `sample`, which is its end.

for event in draws(model, 100, Population(particles=512)):
    show(event.done / event.total, event.state)          closing the generator cancels
samples = event.result
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from ..denoisers.base import Condition, Denoiser
from ..deprecation import renamed
from ..distributed.ranks import ALONE, Ranks
from ..effort import Effort
from ..errors import InputError
from ..events import Event, Stream, part
from ..events.progress import watched
from ..keys import Keys
from ..mcmc.correction import corrected, shuffled
from ..mcmc.discrete import moves_for
from ..mcmc.moves import MALA
from ..mcmc.proposals import draw as propose
from ..mcmc.targets import target_of
from ..sampling.kernels import SamplerState
from ..sampling.sampler import Sampler
from ..spaces import Product
from ..states import State, batch_size, cast, chunks_of, concatenate, take, to_device
from .checks import (
    require_factors_outside,
    require_map,
    require_one_condition,
    require_sense,
    require_shared,
    require_steps,
    start_of,
)
from .engines import MCMC, Engine, Independent, Population, engine, path_of
from .jobs import Job, cost, for_all, for_each, of_sampler, walked
from .memory import require_room
from .samples import Samples
from .storage.joining import joined


@renamed(film="trajectory", watch="callback")
def sample(
    denoiser: Denoiser,
    n: int,
    steps: int | None = None,
    *,
    how: Engine | None = None,
    exact: Literal["off", "particles", "mcmc"] | None = None,
    seed: int = 0,
    first: int = 0,
    condition: Condition | None = None,
    settings: Mapping[str, Any] | None = None,
    callback: Callable[[Event], object] | None = None,
    on: Any = None,
    **said: Any,
) -> Samples:
    """Draws n samples: the last event of `draws`.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        n: how many.
        steps: of the time grid; each way to draw has its own number if not given.
        how: Independent(...), Population(...) or MCMC(...) with their settings; or say `exact` and the settings here.
        exact: off = Independent: guided samples as they come; particles = Population: weighed and resampled until they
            follow the prior times its factors; mcmc = MCMC: corrected to a Boltzmann distribution
            (`denoiser & Boltzmann(E)`), or to a model that has a density times its factors.
        seed: the same seed gives the same sample of each number.
        first: the number of the first sample: worker w of n samples each passes w·n.
        condition: what each sample is given, (n, ...) a name.
        settings: further JSON values for the manifest.
        callback: called with every event, for progress; raise in it to cancel. If not given, a notebook shows a bar.
        on: a `distributed.Client` or a `Pool`, on whose workers independent samples are drawn in blocks of batch_size,
            bit for bit as by one thread here.
        said: settings of the way to draw, such as eta, order, grid, batch_size, particles; see engines.py.

    InputError for a setting that the way to draw does not take.
    """
    if steps is not None:
        said["steps"] = steps
    if how is not None and (exact is not None or said):
        raise InputError(f"how says how to draw: leave out {', '.join([*said, *(['exact'] if exact else [])])}")
    how = how or engine(exact or "off", said)
    if on is not None:
        if not isinstance(how, Independent):
            raise InputError(f"on is for independent samples; with exact={how.exact!r} they are {how.words}")
        from .parallel.spread import drawn_on  # which draws

        require_sense(denoiser, n, seed, first)
        said = {"seed": seed, "first": first, "condition": condition or {}, "settings": settings or {}}
        return watched(drawn_on(on, denoiser, n, how, **said), callback)
    stream = draws(denoiser, n, how, seed=seed, first=first, condition=condition, settings=settings)
    return watched(stream, callback)


def draws(
    denoiser: Denoiser,
    n: int,
    how: Engine | None = None,
    *,
    seed: int = 0,
    first: int = 0,
    condition: Condition | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Stream[Samples]:
    """Events of drawing the n samples numbered from `first` on; the last one's `result` is all of them.

    Closing the generator cancels.

    Args:
        denoiser: the model, (x_t, t, condition) → belief.
        n: how many.
        how: Independent(...), Population(...) or MCMC(...); Independent() if not given.
        first: the number of the first sample.
        seed: of all random numbers.
        condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        settings: further JSON values for the manifest.
    """
    started = time.perf_counter()
    stream = blocks(denoiser, n, how, seed=seed, first=first, condition=condition, settings=settings)
    require_room(denoiser, _ranks_of(how), n=n)
    drawn: list[Samples] = []
    event = Event(0, 0, "sampling")
    for event in stream:
        drawn += [event.finished] if event.finished is not None else []
        yield event
    if event.result is not None:
        return event.result
    samples = joined(drawn, replace_seconds=time.perf_counter() - started)
    yield Event(event.total, event.total, "sampling", samples.x, None, samples)
    return samples


def blocks(
    denoiser: Denoiser,
    n: int,
    how: Engine | None = None,
    *,
    seed: int = 0,
    first: int = 0,
    condition: Condition | None = None,
    settings: Mapping[str, Any] | None = None,
    there: Callable[[range], bool] = lambda numbers: False,
) -> Stream[None]:
    """The same events, but for the result: what is `finished` is kept by whoever reads them, and nowhere else.

    Independent samples finish block by block, so that more of them can be drawn than memory holds; those of a
    population and of MCMC finish together.

    Args:
        denoiser, n, how, seed, first, condition, settings: as those of `draws`.
        there: whether the samples of these numbers are there already, so that they need not be drawn.
    """
    how = how or Independent()
    require_sense(denoiser, n, seed, first)
    require_steps(denoiser, how)
    require_room(denoiser, _ranks_of(how), particles=getattr(how, "particles", None))
    job = Job(denoiser, n, seed, first, for_all(denoiser, n, condition or {}), path_of(denoiser) | dict(settings or {}))
    require_map(denoiser, n, job.condition)
    return _independent(job, how, there) if isinstance(how, Independent) else _at_once(job, how, there)


# Independent ------------------------------------------------------------------------------------------


def _independent(job: Job, how: Independent, there: Callable[[range], bool]) -> Stream[None]:
    """Block by block; blocks that are there already are passed over."""
    sampler, size = how.sampler_for(job.denoiser), how.batch_size or job.n
    if how.start is not None:
        how = replace(how, start=start_of(job.denoiser, how.start, job.n, job.condition))
    if size < job.n:
        require_shared(job.denoiser, job.condition)
    parts = [range(k, min(k + size, job.n)) for k in range(0, job.n, size)]
    steps = sampler.intervals
    for k, chosen in enumerate(parts):
        if there(job.numbers(chosen)):
            yield Event((k + 1) * steps, len(parts) * steps, "sampling")
        else:
            yield from part(_batch(job, how, sampler, chosen), k * steps, steps, len(parts) * steps)


def _batch(job: Job, how: Independent, sampler: Sampler, chosen: range) -> Stream[Samples]:
    """The samples `chosen`, drawn together."""
    started, index, keys = time.perf_counter(), slice(chosen.start, chosen.stop), job.keys(chosen)
    given, begun = job.given(index), None
    if how.start is not None:
        clean = to_device(take(how.start, index), job.denoiser.device)
        begun = job.denoiser.space.with_mask(given.get("mask")).noise(clean, sampler.grid[0], keys.fold("start"))
    frames: list[Any] = []
    total, state = sampler.intervals, None
    walks = walked(sampler.steps(job.denoiser, keys, given, begun))
    for k, state in enumerate(walks):
        if how.trajectory:
            frames += [to_device(x, "cpu") for x in ([state.x] if frames else [state.before, state.x])]
        if k + 1 < total:
            yield Event(k + 1, total, "sampling", **job.standing(state.x, given, chosen.start))
    assert state is not None
    made = of_sampler(sampler)
    samples = job.finished(
        how,
        state.x,
        take(job.condition, index),
        made,
        started=started,
        after=chosen.start,
        trajectory=frames,
        **cost(state, len(chosen)),
    )
    yield Event(total, total, "sampling", finished=samples, **job.standing(state.x, given, chosen.start))
    return samples


# Population -------------------------------------------------------------------------------------------


def _population(job: Job, how: Population) -> Stream[Samples]:
    """n samples spread evenly over a population, of which this process holds its rank's part.

    A condition is part of its particle: where samples are given different ones, resampling weighs these, too.
    """
    denoiser, n, ranks = job.denoiser, job.n, how.on
    size = how.size(n)
    require_shared(denoiser, job.condition)
    require_factors_outside(denoiser)
    part = ranks.part(size)
    sampler, keys = how.sampler_for(denoiser), job.keys(part)
    index = torch.arange(part.start, part.stop) * n // size
    given = {**denoiser.latent(keys.fold("latent")), **job.given(index)}
    begun = _noise(job, how, keys, given) if how.start is None else _given(job, how.start, index, given, keys)
    frames: list[Any] = []
    total, state = sampler.intervals, None
    for k, state in enumerate(walked(sampler.steps(denoiser, keys, given, begun))):
        if how.trajectory:
            frames = _descended(frames, state, ranks)
        if k + 1 < total:
            yield Event(k + 1, total, "weighing and resampling", **_of_particles(job, state))
    assert state is not None
    assert state.population is not None
    index = -(-torch.arange(n, device=denoiser.device) * size // n)  # the first particle of each sample's share
    genealogy = state.population.ancestor[index]
    samples = job.finished(
        how,
        ranks.collected(state.x, index),
        ranks.collected(state.population.given, index),
        {**of_sampler(sampler), "particles": size, **({"ranks": ranks.size} if ranks.size > 1 else {})},
        trajectory=[ranks.collected(frame, index.cpu()) for frame in frames],
        **cost(_of_all(state, ranks, len(part)), size),
        exactness=state.population.exactness(),
        genealogy=genealogy.unique(return_inverse=True)[1].cpu(),
    )
    told = _of_particles(job, state)
    yield Event(total, total, "weighing and resampling", finished=samples, result=samples, **told)
    return samples


def _noise(job: Job, how: Population, keys: Keys, given: Condition) -> State | None:
    """What a population in chunks begins with, made chunk by chunk; None for one that the sampler makes at once."""
    if how.batch_size is None:
        return None
    space, keys = job.denoiser.space, keys.fold("prior")
    chunks = chunks_of(len(keys), how.batch_size)
    return concatenate([space.with_mask(take(given, some).get("mask")).prior(keys[some]) for some in chunks])


def _of_all(state: SamplerState, ranks: Ranks, n: int) -> SamplerState:
    """The state with the effort of the n particles of each rank."""
    if ranks.size == 1 or state.effort is None:
        return state
    return replace(state, effort=Effort(**ranks.gathered(state.effort.each(n))))


def _given(job: Job, start: State, index: torch.Tensor, given: Condition, keys: Keys) -> State:
    """What a population begins with where parts of the states are known: noise beside these.

    Args:
        start: clean states, one a sample.
        index: the sample of each particle.
        given: what each particle is given.
        keys: of the particles.
    """
    space = job.denoiser.space.with_mask(given.get("mask"))
    if not isinstance(space, Product) or not space.path.begun:
        raise InputError(
            "start is for independent samples, or for a path on which a part is known from the start (TimePath.known): "
            "samples that start from given ones follow no distribution of their own"
        )
    clean = to_device(take(start_of(job.denoiser, start, job.n, job.condition), index), job.denoiser.device)
    return space.noise(clean, 1.0, keys.fold("start"))


def _of_particles(job: Job, state: SamplerState) -> dict[str, Any]:
    """Where particles stand, each of which carries the condition of its first ancestor."""
    return job.standing(state.x, state.population.given)


def _descended(frames: Sequence[Any], state: SamplerState, ranks: Ranks) -> list[Any]:
    """The frames so far, each particle's with those of its ancestors, and where it stands now."""
    parents = state.population.parents
    before = frames or [to_device(state.before, "cpu")]
    kept = before if parents is None else [ranks.exchanged(frame, parents.cpu()) for frame in before]
    return [*kept, to_device(state.x, "cpu")]


# MCMC -------------------------------------------------------------------------------------------------

_DRAWING, _CORRECTING = 100, 300  # units of work


def _mcmc(job: Job, how: MCMC) -> Stream[Samples]:
    """n samples of the density behind a denoiser, proposed by it."""
    denoiser, n, proposals = job.denoiser, job.n, how.proposals(job.n)
    require_shared(denoiser, job.condition)
    effort = how.effort()
    keys = job.keys(range(proposals))
    given = job.given(torch.arange(proposals) % n)
    require_one_condition(given)
    density, base = target_of(denoiser, take(given, slice(1)))
    move = moves_for(density, MALA())
    total = _DRAWING + _CORRECTING
    proposing = propose.events(denoiser, keys, "auto", how.steps, given)
    drawn = yield from _filmed(job, part(proposing, 0, _DRAWING, total), None, take(given, slice(1)))
    keys = keys[:n].fold("correct")
    correcting = corrected.events(drawn, density, base, keys, effort, move)
    frames: list[Any] = []
    correcting = part(correcting, _DRAWING, _CORRECTING, total)
    x, exactness = yield from _filmed(job, correcting, frames if how.trajectory else None, take(given, slice(1)))
    made = {
        "steps": len(drawn.grid) - 1,
        "way": drawn.way,
        "times": [round(time, 6) for time in drawn.grid],
        "particles": proposals,
        "moves": effort.moves,
        "check": effort.check,
        "tolerance": effort.tolerance,
        "kernels": [repr(move)],
    }
    samples = job.finished(
        how,
        cast(x, torch.get_default_dtype()),
        take(given, slice(n)),
        made,
        trajectory=[take(frame, shuffled(keys, n).cpu()) for frame in frames],
        nfe=drawn.nfe,
        exactness=exactness,
    )
    yield Event(total, total, "done", samples.x, samples, samples)
    return samples


def _filmed(job: Job, stream: Stream[Any], frames: list[Any] | None, given: Condition) -> Stream[Any]:
    """The stream, in physical fields; the states of its counted moves are kept."""
    while True:
        try:
            event = next(stream)
        except StopIteration as end:
            return end.value
        if frames is not None and event.stage == "moves":
            frames.append(to_device(cast(event.state, torch.get_default_dtype()), "cpu"))
        if event.state is None:
            yield event
        else:
            yield replace(event, **job.standing(event.state, for_each(given, batch_size(event.state))))


_AT_ONCE: Mapping[type[Engine], Callable[[Job, Any], Stream[Samples]]] = {Population: _population, MCMC: _mcmc}
"""The ways to draw whose samples are not independent, so that they finish together."""


def _ranks_of(how: Engine | None) -> Ranks:
    """The ranks that draw together."""
    return how.on if isinstance(how, Population) else ALONE


def _at_once(job: Job, how: Engine, there: Callable[[range], bool]) -> Stream[None]:
    drawn = there(job.numbers(range(job.n)))
    if not _ranks_of(how).agreed(torch.tensor(drawn)):  # which the rank that keeps them knows
        yield from _AT_ONCE[type(how)](job, how)
