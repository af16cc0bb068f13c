"""`sample` with exact="particles": one population, evenly shared out, which says how exact it is."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from ornstein.denoisers.composition import ClassifierFreeGuidance, mixture, negation, product
from ornstein.denoisers.oracles import gaussian_mixture
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.mcmc.targets import Boltzmann
from ornstein.report.posteriors import exact_mean, three_modes
from ornstein.sampling.diagnostics import mean_and_error
from ornstein.sampling.grids import CLOSE, log_snr, uniform
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.tasks.drawing import sample
from ornstein.tasks.engines import Population
from ornstein.tasks.samples import Samples
from ornstein.tasks.storage.records import exactness_of
from ornstein.tasks.strength import ExponentialTilt
from worlds import anisotropic, coupled, double, line, sequences, single

GUIDED = single() & Measurement(double([0.4]), Matrix(double([[1.0, 0.6]])), 0.3) & Energy(lambda x: x[:, 0].sin())


def test_n_samples_are_spread_evenly_over_the_population() -> None:
    """Systematic resampling leaves families side by side; every N/n-th particle meets as many of them as can be."""
    with torch.no_grad():
        state = Sampler(log_snr(10, GUIDED.space), (Particles(),)).end(GUIDED, Keys.of(3, 40))
    for n, index in ((10, range(0, 40, 4)), (16, [-(-k * 40 // 16) for k in range(16)]), (40, range(40))):
        assert sample(GUIDED, n, 10, seed=3, exact="particles", particles=40).x.equal(state.x[list(index)])
    with pytest.raises(InputError, match="particles is 20, expected at least one for each of 50 samples"):
        sample(GUIDED, 50, 10, exact="particles", particles=20)


@pytest.mark.parametrize(
    "option",
    [{"eta": 0.5}, {"eta": 0.0}, {"order": 2}, {"sampler": Sampler(uniform(3))}],
    ids=lambda option: next(iter(option)),
)
def test_settings_of_independent_samples_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(option))} is for independent samples; with exact"):
        sample(GUIDED, 4, 3, exact="particles", **option)


def test_one_population_has_one_measurement() -> None:
    guided = line() & Measurement(double([[0.1], [0.2]]), Matrix(double([[1.0]])), 0.1)
    assert len(sample(guided, 2, 4)) == 2
    with pytest.raises(InputError, match="Measurement is of one sample each"):
        sample(guided, 2, 4, exact="particles")


def test_samples_say_how_exact_they_are() -> None:
    drawn = sample(GUIDED, 8, 10, exact="particles", particles=64, temper=1.0)
    assert drawn.exactness is not None
    assert len(drawn.exactness.ess) == 10
    assert "64 particles, ESS at least" in repr(drawn)
    assert json.loads(json.dumps(drawn.exactness.record()))["method"] == "particles"
    assert [guide["factor"] for guide in drawn.settings["guides"]] == ["Measurement", "Energy"]
    assert "temper=1.0" in drawn.settings["kernels"][0]
    assert sample(GUIDED, 8, 10).exactness is None


def test_conditions_keep_their_order_where_nothing_is_weighed() -> None:
    labels = torch.arange(10) % 2
    drawn = sample(
        anisotropic() & ClassifierFreeGuidance({"label": None}), 10, 4, exact="particles", condition={"label": labels}
    )
    assert drawn.condition["label"].equal(labels)


@pytest.mark.parametrize(
    "hidden",
    [
        lambda world, factor: mixture([world & factor, world]),
        lambda world, factor: product(world & factor, world, world),
        lambda world, factor: negation(world & factor, world) & factor,
    ],
    ids=["mixture", "product", "negation"],
)
def test_factors_that_particles_would_not_weigh_are_refused(hidden: Any) -> None:
    denoiser = hidden(line(), Energy(lambda x: x[:, 0]))
    with pytest.raises(InputError, match="factors go outside to be exact"):
        sample(denoiser, 2, 4, exact="particles")


def test_a_shift_goes_inside_of_factors() -> None:
    """Half of a tilt by a shift, half by a factor, in either order."""
    half, along = Energy(lambda x: x[:, 0], -0.5), double([0.5])
    for guided in (
        three_modes() & half & ExponentialTilt(along, 1.0),
        three_modes() & ExponentialTilt(along, 1.0) & half,
    ):
        x = sample(guided, 2000, 60, exact="particles", particles=2000).x
        assert x.mean().item() == pytest.approx(exact_mean(three_modes(), 1.0), abs=0.12)


@pytest.mark.parametrize("option", [{"steps": 0}, {"particles": 5}, {"temper": 1.0}, {"steps": -3}])
def test_settings_without_a_meaning_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        sample(line(), 2, **option)


def test_a_measurement_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"y has the shape \(1,\), its operator gives \(2,\)"):
        sample(single() & Measurement(double([5.0]), Matrix(double([[1.0, 0.0], [0.0, 1.0]])), 0.1), 2, 4)


def test_a_collapsed_population_says_so() -> None:
    far = (
        single()
        & Measurement(double([9.0]), Matrix(double([[1.0, 0.6]])), 0.01)
        & Energy(lambda x: 1e3 * x[:, 0].sin())
    )
    assert "COLLAPSED" in str(sample(far, 8, 4, exact="particles", particles=8))
    assert "COLLAPSED" not in str(sample(GUIDED, 8, 30, exact="particles", particles=64))


@pytest.mark.parametrize("world", [sequences("masked"), coupled()], ids=["categorical", "product"])
def test_every_space_has_its_particles(world: Any) -> None:
    def first(code: Any) -> Any:
        return (code if torch.is_tensor(code) else code["tokens"])[:, 0, 0]

    drawn = sample(world & Energy(first), 6, 8, exact="particles")
    assert drawn.exactness is not None
    assert drawn.exactness.particles == 512
    assert drawn.exactness.error < 0.2


def test_a_prior_alone_has_full_size_and_no_evidence() -> None:
    found = sample(sequences("uniform"), 6, 8, exact="particles", particles=32).exactness
    assert found is not None
    assert min(found.ess) > 0.999
    assert abs(found.log_evidence) < 1e-9


def test_the_seed_decides_and_the_first_number_too() -> None:
    options: dict[str, Any] = {"exact": "particles", "particles": 32}
    one, again = (sample(GUIDED, 8, 6, seed=5, **options) for _ in range(2))
    assert one.x.equal(again.x)
    assert not one.x.equal(sample(GUIDED, 8, 6, seed=6, **options).x)
    assert not one.x.equal(sample(GUIDED, 8, 6, seed=5, first=32, **options).x)


def test_what_mcmc_and_particles_would_get_wrong_is_refused() -> None:
    world = anisotropic()
    labels = {"label": torch.tensor([0, 1] * 10)}
    with pytest.raises(InputError, match="differs between samples"):
        sample(world, 20, exact="mcmc", condition=labels)
    with pytest.raises(InputError, match="for exact='mcmc'"):
        sample(world & Boltzmann(lambda x: x.square().sum(1)), 20, exact="particles")


def test_samples_may_start_from_given_states() -> None:
    world = anisotropic()
    clean = world.space.prior(Keys.of(9, 300))
    near, far = (sample(world, 300, 12, start=clean, strength=strength).x for strength in (0.05, 1.0))
    assert (near - clean).square().mean() < 0.05
    fresh = sample(world, 300, 12, seed=1).x
    assert abs((far - clean).square().mean() / (fresh - clean).square().mean() - 1) < 0.25  # forgotten at 1
    halves = [sample(world, 300, 12, start=clean, strength=0.3, batch_size=size).x for size in (300, 70)]
    assert torch.allclose(*halves)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"strength": 0.0}, "strength is 0.0"),
        ({"exact": "particles"}, "follow no distribution"),
        ({"n": 4}, "expected one for each of 4"),
    ],
)
def test_starts_without_a_meaning_are_refused(option: dict[str, Any], said: str) -> None:
    world = anisotropic()
    with pytest.raises(InputError, match=said):
        sample(world, **{"n": 5, "steps": 3, "start": world.space.prior(Keys.of(9, 5)), **option})


# What a quantity of the samples says --------------------------------------------------------------------


def test_a_quantity_has_an_error_and_an_interval_by_the_genealogy() -> None:
    drawn = sample(GUIDED, 64, 10, exact="particles")
    mean, error = drawn.mean_and_error(drawn.x)
    low, high = drawn.interval(drawn.x, 0.8)
    assert mean.shape == error.shape == low.shape == high.shape == (2,)
    assert ((low < mean) & (mean < high)).all()
    assert drawn.genealogy is not None
    assert error[1].item() == pytest.approx(mean_and_error(drawn.x[:, 1], drawn.genealogy)[1])
    narrower = drawn.interval(drawn.x[:, 0].numpy(), 0.5)
    assert low[0] < narrower[0] < narrower[1] < high[0]


def test_relatives_count_once_and_independent_samples_each() -> None:
    values = torch.arange(40.0)
    free = Samples(values[:, None])
    related = replace(free, genealogy=torch.arange(40) // 8)
    assert related.mean_and_error(values)[1] > 2 * free.mean_and_error(values)[1]
    assert free.interval(values)[0] > -torch.inf
    assert related.interval(values)[0] == -torch.inf


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        (torch.zeros(3), 0.9, r"values have the shape \(3,\), expected one or an array for each of 4 samples"),
        (1.0, 0.9, r"values have the shape \(\), expected"),
        ([0.0, torch.nan, 0.0, 0.0], 0.9, r"values: element \(1,\) is nan, expected finite"),
        ("abcd", 0.9, "values is a str, expected numbers"),
        (torch.zeros(4), 90, r"level is 90, expected a probability in \(0, 1\)"),
        (torch.zeros(4), "high", r"level is 'high', expected a probability"),
    ],
)
def test_values_that_are_none_are_refused(values: Any, level: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Samples(torch.zeros(4, 1)).interval(values, level)


def test_older_manifests_say_nothing_of_what_could_be_missing() -> None:
    record = {"method": "particles", "particles": 8, "ess": [0.5], "resampled": 1, "families": 6}
    found = exactness_of({**record, "log_evidence": -1.0, "error": 0.1})
    assert "was not recorded" in str(found)
    assert "at most 2.0 %" in str(exactness_of({**record, "log_evidence": -1.0, "error": 0.1, "missing": 0.02}))
    with pytest.raises(InputError, match="missing"):
        exactness_of({**record, "log_evidence": -1.0, "error": 0.1, "missing": "none"})


@pytest.mark.parametrize(("numbers", "least"), [(4, 0.02), (40, CLOSE)])
def test_a_chain_that_ends_in_a_mean_takes_a_small_last_step(numbers: int, least: float) -> None:
    world = gaussian_mixture(torch.zeros(1, numbers), torch.eye(numbers)[None])
    sampler = Population(steps=12).sampler_for(world)
    assert sampler.grid == log_snr(12, world.space, least)
    assert Population(steps=12, grid="log-snr").sampler_for(world).grid == log_snr(12, world.space)
