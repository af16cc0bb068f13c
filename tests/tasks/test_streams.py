"""One stream of events for every way to draw: right totals, cancelling, trajectories, and no setting ignored."""

from typing import Any

import pytest
import torch

from ornstein import MCMC, Boltzmann, Energy, Independent, Measurement, Population, anneal, chains, draws, refine
from ornstein.domains.energies.task import EnergiesRequest
from ornstein.errors import InputError
from ornstein.events import Event, finished, part
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.mcmc.densities import Density
from ornstein.mcmc.moves import HMC
from ornstein.mcmc.proposals import wide
from ornstein.sampling import grids
from ornstein.sampling.diagnostics import mean_and_error
from ornstein.spaces import Euclidean
from ornstein.tasks.drawing import sample
from ornstein.tasks.strength import guidance_strength
from worlds import anisotropic, double, sequences, single

GUIDED = single() & Measurement(double([0.4]), Matrix(double([[1.0, 0.6]])), 0.3)
PLANE = Euclidean((2,))


def bowl(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum(1) / 2


STREAMS: dict[str, Any] = {
    "independent": lambda: draws(anisotropic(), 5, Independent(steps=4, batch_size=2)),
    "with fresh noise": lambda: draws(anisotropic(), 3, Independent(steps=4, eta=1.0)),
    "categories": lambda: draws(sequences("masked"), 5, Independent(steps=4)),
    "population": lambda: draws(GUIDED, 3, Population(particles=8, steps=5)),
    "mcmc by the flow": lambda: draws(single() & Boltzmann(bowl), 20, MCMC(steps=4, moves=3, check=100)),
    "mcmc by the chain": lambda: draws(single() & Energy(bowl), 20, MCMC(steps=20, moves=3, check=100)),
    "mcmc unchecked": lambda: draws(single() & Boltzmann(bowl), 20, MCMC(steps=4, moves=3, check=0)),
    "anneal": lambda: anneal.events(Density.of_energy(bowl, PLANE), wide(PLANE, 2.0), Keys.of(0, 200)),
    "chains": lambda: chains.run.events(
        HMC(), Density.of_energy(bowl, PLANE), torch.zeros(4, 2).double(), Keys.of(0, 4), draws=3, warmup=4, thin=2
    ),
    "refine": lambda: refine.events(single().draw(Keys.of(0, 30)), bowl, moves=3, check=100),
    "calibrate": lambda: guidance_strength.events(anisotropic(), double([1.0, 0.0]), 0.4, n=64, steps=4),
    "plan": lambda: grids.plan.events(anisotropic(), 4, Keys.of(0, 16), fine=20, rounds=3),
}


def assert_whole(events: list[Event]) -> None:
    """Totals stay, work only grows, and it ends where it is done."""
    assert len({event.total for event in events}) == 1, "the total changed"
    done = [event.done for event in events]
    assert done == sorted(done), "work was undone"
    assert done[-1] <= events[-1].total, "more was done than there was"


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_is_whole(name: str) -> None:
    events: list[Event] = []
    result = finished(STREAMS[name](), events.append)
    assert len(events) > 1
    assert_whole(events)
    assert torch.is_grad_enabled()
    if events[-1].result is not None:
        assert events[-1].done == events[-1].total
        assert events[-1].result is result


def test_the_test_of_whole_streams_rejects_what_is_not() -> None:
    for broken in (
        [Event(1, 2, "a"), Event(2, 3, "a")],
        [Event(2, 3, "a"), Event(1, 3, "a")],
        [Event(4, 3, "a")],
    ):
        with pytest.raises(AssertionError):
            assert_whole(broken)


@pytest.mark.parametrize("name", STREAMS)
def test_closing_a_stream_cancels_it(name: str) -> None:
    stream = STREAMS[name]()
    next(stream)
    assert torch.is_grad_enabled()  # the consumer's own work is not the stream's
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_what_a_callback_raises_cancels() -> None:
    seen = []

    def stop(event: Event) -> None:
        seen.append(event)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(anisotropic(), 3, 10, callback=stop)
    assert len(seen) == 2


def test_a_part_of_a_work_counts_in_units_of_the_whole() -> None:
    def inner() -> Any:
        yield Event(1, 4, "x")
        yield Event(4, 4, "x")
        return "result"

    stream, events = part(inner(), 10, 2, 12, "y"), []
    assert finished(stream, events.append) == "result"
    assert [(event.done, event.total, event.stage) for event in events] == [(10.5, 12, "y"), (12, 12, "y")]


def test_engines_and_keywords_say_the_same() -> None:
    one = sample(GUIDED, 4, 6, exact="particles", particles=16)
    assert sample(GUIDED, 4, how=Population(particles=16, steps=6)).x.equal(one.x)
    events = list(draws(GUIDED, 4, Population(particles=16, steps=6)))
    assert events[-1].result.x.equal(one.x)
    assert sample(anisotropic(), 4, 6).x.equal(sample(anisotropic(), 4, how=Independent(steps=6)).x)
    with pytest.raises(InputError, match="leave out steps"):
        sample(GUIDED, 4, 6, how=Population())


@pytest.mark.parametrize(
    ("exact", "setting", "value"),
    [
        ("off", "particles", 8), ("off", "temper", 0.5), ("off", "moves", 3), ("off", "check", 3),
        ("particles", "eta", 0.0), ("particles", "order", 1), ("particles", "moves", 3),
        ("mcmc", "eta", 0.0), ("mcmc", "order", 1), ("mcmc", "grid", "uniform"), ("mcmc", "temper", 0.0),
        ("mcmc", "batch_size", 4), ("off", "colour", "red"), ("mcmc", "particles", 3), ("particles", "particles", 3),
    ],
)  # fmt: skip
def test_a_setting_is_used_or_refused(exact: Any, setting: str, value: Any) -> None:
    with pytest.raises(InputError, match=setting):
        sample(single() & Boltzmann(bowl) if exact == "mcmc" else GUIDED, 4, exact=exact, **{setting: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"eta": 0.0},
        {"order": 1},
        {"grid": "karras"},
        {"grid": "nonsense"},
        {"strength": 0.5},
        {"eta": 2.0},
        {"order": 4},
    ],
)
def test_settings_that_the_data_have_no_use_for_are_refused(settings: Any) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        sample(sequences("masked"), 2, 3, **settings)


@pytest.mark.parametrize("name", ["steps", "eta", "order", "grid"])
def test_a_sampler_is_not_given_beside_what_it_decides(name: str) -> None:
    state = Independent(steps=3).sampler_for(anisotropic())
    value: Any = {"steps": 3, "eta": 0.0, "order": 1, "grid": "uniform"}[name]
    with pytest.raises(InputError, match=f"{name} is .* but the sampler given decides it"):
        Independent(sampler=state, **{name: value})


def test_the_manifest_says_how_all_engines_drew() -> None:
    for drawn in (
        sample(anisotropic(), 2, 3, eta=0.5, order=2, grid="karras", batch_size=1),
        sample(GUIDED, 2, 3, exact="particles", particles=4, temper=0.5, grid="uniform"),
        sample(single() & Boltzmann(bowl), 20, 3, exact="mcmc", particles=40, moves=2, check=100),
    ):
        assert drawn.settings["steps"] == 3
        assert len(drawn.settings["times"]) == 4
        assert drawn.settings["kernels"]
        assert drawn.settings["exact"] in ("off", "particles", "mcmc")


def test_a_trajectory_of_every_engine_ends_in_the_samples() -> None:
    for drawn in (
        sample(anisotropic(), 5, 4, trajectory=True, batch_size=2),
        sample(GUIDED & Energy(lambda x: 3 * x[:, 0].sin()), 5, 8, exact="particles", particles=32, trajectory=True),
        sample(single() & Boltzmann(bowl), 20, 4, exact="mcmc", moves=3, check=100, trajectory=True),
    ):
        assert len(drawn.trajectory) > 2
        assert torch.as_tensor(drawn.trajectory[-1]).equal(drawn.x)


def test_a_trajectory_of_particles_is_that_of_ancestors() -> None:
    """Steps along a lineage are short at the end; between particles that merely share a place they would not be."""
    harsh = GUIDED & Energy(lambda x: 6 * (4 * x[:, 0]).sin())
    drawn = sample(harsh, 64, 60, exact="particles", particles=64, trajectory=True)
    assert drawn.exactness is not None
    assert drawn.exactness.resampled > 1
    last = torch.stack([torch.as_tensor(frame) for frame in drawn.trajectory[-8:]])
    steps = (last[1:] - last[:-1]).norm(dim=-1).mean()
    shuffled = (last[1:] - last[:-1].flip(1)).norm(dim=-1).mean()
    assert steps < 0.5 * shuffled


def test_families_of_samples_count_from_zero() -> None:
    """What docs/say-what-you-know.md does with fewer samples than particles."""
    drawn = sample(GUIDED, 10, 6, exact="particles", particles=200)
    assert drawn.genealogy is not None
    assert drawn.genealogy.max() < 10
    mean, error = mean_and_error(drawn.x[:, 0], drawn.genealogy)
    assert abs(mean) < 5
    assert 0 < error < 5


def test_a_record_that_is_not_finite_is_saved_all_the_same(tmp_path: Any) -> None:
    import ornstein as on
    from ornstein.tasks.samples import read_samples

    model = on.load("energies/gmm-40")
    drawn = on.draw(model, EnergiesRequest(), 4, exact="mcmc", particles=8, check=50, moves=2)
    assert drawn.exactness.r_hat != drawn.exactness.r_hat  # four samples cannot be judged
    assert str(read_samples(drawn.save(tmp_path / "few")).exactness) == str(drawn.exactness)
