"""From fast draws to samples of exp(−E): draws and a search as one weighted sample, moves, and what could be missing.

The target is a mixture of three thin modes with Z = 2π. What proposes knows it, or is wrong about its weights and
widths, or has lost a mode of half its mass; each claim about samples is shown to fail on what was not corrected.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import isnan, log, nan, pi
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.denoisers.oracles import Mixture, gaussian_mixture
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.mcmc.budget import Effort
from ornstein.mcmc.correction import corrected
from ornstein.mcmc.densities import Density
from ornstein.mcmc.judging import grouped_r_hat
from ornstein.mcmc.proposals import Draws, draw, wide
from ornstein.mcmc.report import MCMCReport
from ornstein.mcmc.targets import Boltzmann
from ornstein.spaces import Centered, Euclidean
from ornstein.states import State, Time, left, per_sample_sum
from ornstein.tasks.boltzmann import boltzmann, refine
from ornstein.tasks.drawing import sample
from ornstein.tasks.samples import Samples
from worlds import anisotropic, double, line, rejected, rotated, single

TARGET, LOG_Z = anisotropic(), log(2 * pi)
MEANS = double([[-1.5, 0.0], [1.0, 1.0], [0.8, -1.2]])
COVS = torch.stack([rotated(0.4, (0.5, 0.1)), rotated(-0.8, (0.4, 0.15)), rotated(1.2, (0.6, 0.2))])
WRONG = gaussian_mixture(MEANS, 1.5 * COVS + 0.02 * torch.eye(2).double(), double([0.2, 0.2, 0.6]))
LOST = gaussian_mixture(MEANS[1:], COVS[1:], double([0.6, 0.4]))
N = 400


def energy(x: Tensor) -> Tensor:
    return -TARGET.log_density(x, 0.0)


def counted(energy: Callable[[Tensor], Tensor]) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """The energy, and the sizes of the batches it was asked for."""
    seen: list[int] = []

    def asked(x: Tensor) -> Tensor:
        seen.append(len(x))
        return energy(x)

    return asked, seen


def assert_target(x: Tensor, world: Mixture = TARGET, sigmas: float = 4.0) -> None:
    """Shares of modes and the mean of log p, within errors that allow for samples of which a half repeat others."""
    exact = world.draw(Keys.of(99, 50_000)).double()
    found, expected = (
        torch.cat([_shares(y, world), world.log_density(y, 0.0)[:, None]], 1) for y in (x.double(), exact)
    )
    errors = (found.mean(0) - expected.mean(0)) / (expected.std(0) * (2 / len(x)) ** 0.5)
    assert errors.abs().max() < sigmas, f"off by {errors.tolist()} standard errors"


def _shares(x: Tensor, world: Mixture) -> Tensor:
    return (world.weights.log() + world.components.log_likelihood(x, 0.0)).softmax(1)


@cache
def drawn(name: str) -> Samples:
    return boltzmann({"exact": TARGET, "wrong": WRONG, "lost": LOST}[name], energy, N, seed=1)


# What proposes ----------------------------------------------------------------------------------------


def test_exact_proposals_pass_as_they_are() -> None:
    found = drawn("exact").exactness
    assert_target(drawn("exact").x)
    assert found.exact
    assert found.method == "draws and the search"
    assert found.verdict.startswith("exact within the errors stated: at most 0.")
    assert found.ess > 0.98
    assert found.jumps > 0.9
    assert found.uncovered == 0
    assert found.missing < 0.01
    assert found.error < 0.01
    assert found.low < LOG_Z < found.high
    assert found.log_evidence == pytest.approx(LOG_Z, abs=0.01)
    assert found.check == pytest.approx(LOG_Z, abs=4 * found.check_error)


def test_wrong_weights_and_widths_are_corrected() -> None:
    found = drawn("wrong").exactness
    assert_target(drawn("wrong").x)
    rejected(assert_target, WRONG.draw(Keys.of(1, N)))
    widths_alone = gaussian_mixture(MEANS, 1.5 * COVS + 0.02 * torch.eye(2).double(), TARGET.weights)
    rejected(assert_target, widths_alone.draw(Keys.of(1, N)))
    assert found.exact
    assert found.method == "draws and the search"
    assert 0.2 < found.ess < 0.8
    assert found.log_evidence == pytest.approx(LOG_Z, abs=4 * found.error)


def test_lost_modes_enter_with_their_weight() -> None:
    found = drawn("lost").exactness
    assert_target(drawn("lost").x)
    assert found.method == "draws and the search and a cloud about what was found"
    assert found.exact
    assert found.uncovered == pytest.approx(0.5, abs=0.1)
    assert "% of the mass, which the search has found" in found.verdict
    assert found.ess > 0.98  # the weights themselves are as even as those of exact draws
    assert found.log_evidence == pytest.approx(LOG_Z, abs=4 * found.error)
    assert found.low < LOG_Z < found.high


def without_search(proposals: Mixture) -> tuple[Tensor, MCMCReport]:
    keys, density = Keys.of(1, 4 * N), Density.of_energy(energy, TARGET.space)
    return corrected(draw(proposals, keys), density, wide(PLANE, 1.5), keys[:N].fold("correct"), Effort(check=0))


PLANE = Euclidean((2,))


def test_without_a_search_lost_modes_stay_lost() -> None:
    """The broken twin: all gates are passed, by samples that are wrong, and all that is said is that nobody looked."""
    x, found = without_search(LOST)
    rejected(assert_target, x)
    assert found.passed
    assert not found.exact
    assert found.missing == 1
    assert found.check is None
    assert found.log_evidence == pytest.approx(LOG_Z + log(0.5), abs=0.05)
    assert found.verdict == "as far as the draws reach: nothing has searched for what they may lack"
    assert_target(without_search(WRONG)[0])


def pretended(x: Tensor) -> Draws:
    """Draws that are said to be of the target."""

    def never(points: Any, here: Tensor, log_p: Any, keys: Keys) -> Any:
        raise AssertionError("nothing has searched")

    return Draws(x, -energy(x.double()), 0, "pretended", (1.0, 0.0), never)


def test_moves_alone_keep_the_weights_of_modes() -> None:
    """The broken twin of weights: the draws, moved by exact kernels for as long."""
    density, keys, effort = Density.of_energy(energy, PLANE), Keys.of(1, N), Effort(check=0)
    unweighed = pretended(WRONG.draw(Keys.of(1, 4 * N)))
    rejected(assert_target, corrected(unweighed, density, wide(PLANE, 1.5), keys, effort)[0])
    assert_target(corrected(pretended(TARGET.draw(Keys.of(1, 4 * N))), density, wide(PLANE, 1.5), keys, effort)[0])


def test_draws_that_cannot_be_weighed_are_annealed() -> None:
    """Half as wide as the target: the weights have no variance that is finite."""
    narrow = gaussian_mixture(MEANS, 0.1 * COVS, double([0.1, 0.1, 0.8]))
    found = boltzmann(narrow, energy, N, seed=1)
    assert_target(found.x)
    assert found.exactness.method.endswith("a cloud about what was found")
    assert found.exactness.notes[0].startswith("the draws alone cannot be weighed (k̂ ")
    assert found.exactness.log_evidence == pytest.approx(LOG_Z, abs=4 * found.exactness.error)


def test_every_evaluation_is_counted() -> None:
    asked, seen = counted(energy)
    found = boltzmann(WRONG, asked, 100, seed=3).exactness
    assert found.gradients + found.values == sum(seen)
    assert 650 <= found.values < 900  # 400 draws, and 250 points of the search, some placed twice


def test_the_seed_decides() -> None:
    one, again, other = (boltzmann(WRONG, energy, 50, seed=seed) for seed in (3, 3, 4))
    assert one.x.equal(again.x)
    assert one.exactness == again.exactness
    assert not one.x.equal(other.x)


def test_twice_as_many_draws_as_samples_at_least() -> None:
    for given, expected in ((None, 200), (100, 100), (300, 300)):
        found = sample(TARGET & Boltzmann(energy), 50, 8, exact="mcmc", particles=given)
        assert found.x.shape == (50, 2)
        assert found.exactness.proposals == found.settings["particles"] == expected


# Energies that are not what they should be ------------------------------------------------------------


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_energy_that_is_nowhere_finite_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="infinite or not a number at each of"):
        boltzmann(single(), lambda x: torch.full_like(x[:, 0], value), 50)


def test_what_is_not_a_number_has_no_probability() -> None:
    """NaN on the half of the plane that holds the first mode."""
    found = boltzmann(TARGET, lambda x: torch.where(x[:, 0] < -0.3, torch.nan, energy(x)), N)
    assert (found.x[:, 0] >= -0.3).all()
    exact = TARGET.draw(Keys.of(0, 50_000))
    left_over = (exact[:, 0] >= -0.3).double().mean().log().item()
    assert found.exactness.log_evidence == pytest.approx(LOG_Z + left_over, abs=4 * found.exactness.error + 0.01)


def assert_honest(found: MCMCReport, log_z: float) -> None:
    """The answer is right within its interval, or it is not called exact."""
    assert found.low < log_z < found.high or not found.exact, found


def test_an_energy_far_outside_of_the_width_is_doubted_or_found() -> None:
    """Five widths away, along both axes."""
    found = boltzmann(single(), lambda x: (x - 5).square().sum(1) / 2, 100, width=1.0).exactness
    assert_honest(found, log(2 * pi))
    assert found.notes[0].startswith("the draws alone cannot be weighed")
    blind = without_search(LOST)[1]  # had a search said that nothing is missing
    rejected(assert_honest, replace(blind, missing=0.0, high=blind.log_evidence + 0.05), LOG_Z)


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (lambda x: x, r"the energy of \(400, 2\) must be of shape \(400,\), found \(400, 2\)"),
        (lambda x: 3.0, "found float"),
    ],
)
def test_an_energy_of_the_wrong_shape_is_refused(energy: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        boltzmann(TARGET, energy, 100)


# Samples that are there already -----------------------------------------------------------------------


def test_given_samples_get_the_weights_of_modes() -> None:
    given = WRONG.draw(Keys.of(5, N))
    rejected(assert_target, given)
    found = refine(given, energy, seed=1, check=1000)
    assert_target(found.x)
    assert found.exactness.method == "the search and a cloud about what was found"
    assert found.exactness.passed
    assert isnan(found.exactness.ess)
    assert "ESS" not in str(found.exactness)
    assert found.exactness.log_evidence == pytest.approx(LOG_Z, abs=4 * found.exactness.error)
    assert found.settings == {"seed": 1, "moves": 20, "check": 1000, "particles": 1000, "tolerance": 0.01}
    more = refine(Samples(given), energy, 2 * N, check=0)
    assert more.x.shape == (2 * N, 2)
    assert_target(more.x)


def test_given_samples_without_half_of_the_density() -> None:
    given = LOST.draw(Keys.of(5, N))
    found = refine(given, energy, seed=1)
    assert_target(found.x)
    assert found.exactness.passed
    assert found.exactness.missing < 0.02
    assert found.exactness.low < LOG_Z < found.exactness.high
    alone = refine(given, energy, seed=1, check=0).exactness
    assert alone.missing == 1  # the noise in its cloud may have found the mode, which nothing bounds


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.zeros(5, 2), {}, "samples must be 20 or more of finite floating-point numbers, found"),
        (torch.full((30, 2), torch.nan), {}, "samples must be 20 or more"),
        (torch.zeros(30, 2), {}, "most of 30 points are the same as others"),
        (torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), {"n": 0}, "n is 0"),
        (torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), {"moves": 0}, "moves is 0"),
        (torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), {"check": -1}, "check is -1"),
        (torch.randn(30, 2, generator=torch.Generator().manual_seed(0)), {"width": nan}, "width is nan"),
    ],
)
def test_samples_that_cannot_be_refined(x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        refine(x, energy, **options)


# Draws with their density -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster(Denoiser):
    """The exact denoiser of points about a centred arrangement, all with one width."""

    middle: Tensor
    width: float

    def __post_init__(self) -> None:
        carry(self, Traits(Centered(tuple(self.middle.shape))))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        assert isinstance(self.space, Centered)
        alpha, sigma = (left(torch.as_tensor(level(t)), x_t) for level in self._levels())
        gain = alpha * self.width**2 / (alpha**2 * self.width**2 + sigma**2)
        off = self.space.project(x_t) - alpha * self.middle
        return Normal((self.middle + gain * off).to(x_t))

    def _levels(self) -> tuple[Callable[[Time], Any], Callable[[Time], Any]]:
        assert isinstance(self.space, Centered)
        return self.space.schedule.alpha, self.space.schedule.sigma


TRIANGLE = Centered((3, 2)).project(double([[[1.0, 0.0], [-0.7, 0.8], [-0.3, -0.8]]]))[0]


def cluster_energy(x: Tensor) -> Tensor:
    """Half as wide as `Cluster(TRIANGLE, .8)` in every one of four degrees of freedom, and moved."""
    return per_sample_sum((x - x.mean(1, keepdim=True) - 0.9 * TRIANGLE.to(x)).square()) / (2 * 0.6**2)


WORLDS: dict[str, tuple[Denoiser, Callable[[Tensor], Tensor], float]] = {
    "mixture": (WRONG, energy, LOG_Z),
    "centred": (Cluster(TRIANGLE, 0.8), cluster_energy, 2 * log(2 * pi * 0.6**2)),
}


def assert_evidence(log_q: Tensor, x: Tensor, energy: Callable[[Tensor], Tensor], log_z: float) -> None:
    """The mean of exp(−E − log q) is Z, within four standard errors and .2."""
    weights = (-energy(x.double()) - log_q - log_z).exp()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.2
    assert abs(weights.mean() - 1) < 4 * error, f"{weights.mean():.3f} ± {error:.3f}"


@pytest.mark.parametrize("name", WORLDS)
def test_paths_weigh_as_their_ends(name: str) -> None:
    world, energy, log_z = WORLDS[name]
    found = draw(world, Keys.of(0, 800), "chain", 60)
    assert found.way == "chain"
    assert_evidence(found.log_q, found.x, energy, log_z)
    rejected(assert_evidence, found.log_q, found.x, energy, log_z + 0.5)


@pytest.mark.parametrize("name", WORLDS)
def test_flows_and_paths_agree_on_log_z(name: str) -> None:
    world, energy, log_z = WORLDS[name]
    flow = draw(world, Keys.of(1, 800), "flow")
    assert flow.way == "flow"
    assert_evidence(flow.log_q, flow.x, energy, log_z)
    rejected(assert_evidence, flow.log_q, flow.x, energy, log_z + 0.5)


def test_the_way_is_chosen_by_dimension_and_factors() -> None:
    assert draw(WRONG, Keys.of(0, 4), steps=3).way == "flow"
    assert draw(WRONG & Energy(lambda x: x[:, 0]), Keys.of(0, 4), steps=3).way == "chain"
    many = gaussian_mixture(torch.zeros(1, 33).double(), torch.eye(33).double()[None])
    assert draw(many, Keys.of(0, 4), steps=3).way == "chain"


# A model that has a density, times factors ------------------------------------------------------------------


def tilted(slope: float) -> Mixture:
    """The target times exp(−slope x₀), which is a mixture again."""
    weights = (TARGET.weights.log() - slope * MEANS[:, 0] + slope**2 / 2 * COVS[:, 0, 0]).softmax(0)
    return gaussian_mixture(MEANS - slope * COVS[:, :, 0], COVS, weights)


def test_a_prior_times_a_factor_is_sampled_exactly() -> None:
    slope = -0.7
    found = sample(TARGET & Energy(lambda x: slope * x[:, 0]), N, 60, exact="mcmc", seed=2)
    assert_target(found.x, tilted(slope))
    rejected(assert_target, TARGET.draw(Keys.of(0, N)), tilted(slope))
    assert found.exactness.passed
    assert found.settings["way"] == "chain"
    expected = LOG_Z + (TARGET.weights.log() - slope * MEANS[:, 0] + slope**2 / 2 * COVS[:, 0, 0]).logsumexp(0)
    assert found.exactness.log_evidence == pytest.approx(expected.item(), abs=4 * found.exactness.error)


def test_a_prior_of_one_label() -> None:
    """The condition picks the components that propose, and those that are the target."""
    label = torch.ones(200, dtype=torch.int64)
    found = sample(TARGET, 200, exact="mcmc", condition={"label": label})
    assert found.exactness.passed
    assert_target(found.x, gaussian_mixture(MEANS[1:], COVS[1:], double([0.6, 0.4])))
    assert found.condition["label"].equal(label)


def test_factors_before_the_target_guide_the_proposals_alone() -> None:
    guided = TARGET & Boltzmann(energy) & Energy(lambda x: 0.5 * x[:, 0])
    found = sample(guided, N, 60, exact="mcmc", seed=2)
    assert_target(found.x)
    assert found.settings["way"] == "chain"
    assert [set(guide) & {"factor", "target"} for guide in found.settings["guides"]] == [{"factor"}, {"target"}]


@pytest.mark.parametrize(
    ("denoiser", "options", "message"),
    [
        (
            TARGET & Measurement(double([0.4]), Matrix(double([[1.0, 0.6]])), 0.3),
            {},
            "takes factors with a smooth log g, not Measurement",
        ),
        (TARGET & Boltzmann(energy), {"batch_size": 5}, "batch_size is for independent samples"),
        (TARGET & Boltzmann(energy), {"particles": 19}, "particles is 19, expected at least two draws for each of 10"),
        (TARGET & Boltzmann(energy), {"particles": 1}, "particles is 1, expected a whole number of at least 2"),
        (TARGET & Boltzmann(energy), {"temper": 1.0}, "temper is for one population of particles"),
    ],
    ids=["rough", "batch_size", "too few", "particles", "temper"],
)
def test_refusals(denoiser: Denoiser, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample(denoiser, 10, 5, exact="mcmc", **options)


@pytest.mark.parametrize("width", [0.0, -1.0, nan, torch.inf])
def test_widths_are_positive(width: float) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        boltzmann(line(), energy, 10, width=width)


def test_one_target_a_model() -> None:
    with pytest.raises(InputError, match="corrected to one energy"):
        _ = TARGET & Boltzmann(energy) & Boltzmann(energy)


# What is said of it -------------------------------------------------------------------------------------

FINE = MCMCReport(
    "draws and the search", 1600, 0.5, 0.3, 0.0, 0.6, 0.58, 0.4, 1.002, 1.84, 0.02, 1.8, 1.89, 0.004, 0.01, 750.0,
    600.0, 1.83, 0.04, 5000, 1600,
)  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [
        FINE,
        replace(FINE, concerns=("one", "two"), notes=("three",)),
        replace(FINE, ess=nan, k_hat=nan, jumps=None, r_hat=nan, check=None, check_error=None),
        replace(FINE, divergences=3),
    ],
    ids=["plain", "with concerns", "with what is not known", "with divergences"],
)
def test_records_come_back(found: MCMCReport) -> None:
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["passed"] == found.passed
    assert record["verdict"] == found.verdict
    back = MCMCReport.from_record(record)
    assert str(back) == str(found)
    assert back.record() == found.record()


def test_older_records_say_nothing_of_a_search() -> None:
    new = ("divergences", "uncovered", "low", "high", "missing", "tolerance", "families", "sources", "budget")
    found = MCMCReport.from_record({name: value for name, value in FINE.record().items() if name not in new})
    assert found.missing == 1
    assert not found.exact
    assert isnan(found.low)
    assert found.log_evidence == FINE.log_evidence
    assert "3 divergences" in str(replace(FINE, divergences=3))


def test_verdicts() -> None:
    said = "exact within the errors stated: at most 0.4 % of the mass could be missing (95 %)"
    assert FINE.verdict == said
    assert replace(FINE, notes=("a", "b")).verdict == f"{said}; a; b"
    wrong = replace(FINE, notes=("a",), concerns=("R̂ 1.3 is above 1.01",))
    assert not wrong.passed
    assert wrong.verdict == "NOT TO BE TRUSTED: R̂ 1.3 is above 1.01; a"
    coarse = replace(FINE, missing=0.09)
    assert coarse.passed
    assert not coarse.exact
    assert coarse.verdict == (
        "as far as was searched: up to 9 % of the mass could be missing (95 %), more than the tolerance of 1 %"
    )
    assert replace(coarse, tolerance=0.1).exact
    assert str(FINE) == (
        "from draws and the search: ESS 50% of 1600, k̂ 0.30; accepted: moves 58%, jumps 60%; R̂ 1.002; log Z 1.840 "
        "± 0.020, 95 % from 1.800 to 1.890 (the search alone: 1.830 ± 0.040); 6,600 evaluations of the energy, 5,000 "
        f"of them with gradient; {said}"
    )


def test_samples_that_are_not_at_rest_are_a_concern() -> None:
    """Draws from something wider, taken for samples: their energy falls under moves that keep the density."""
    keys, density = Keys.of(0, N), Density.of_energy(energy, PLANE)
    hot = pretended(gaussian_mixture(MEANS, 9 * COVS, TARGET.weights).draw(keys))
    _, found = corrected(hot, density, wide(PLANE, 1.5), keys, Effort(moves=2, check=0))
    assert not found.passed
    assert any("the energy drifts under exact moves" in concern for concern in found.concerns)
    _, well = corrected(pretended(TARGET.draw(keys)), density, wide(PLANE, 1.5), keys, Effort(check=0))
    assert well.passed, well


def test_groups_of_families_that_differ_are_seen() -> None:
    x = TARGET.draw(Keys.of(1, N))
    apart = x[x[:, 0].argsort()]
    assert grouped_r_hat(x, -energy(x)) < 1.1 < grouped_r_hat(apart, -energy(apart))
