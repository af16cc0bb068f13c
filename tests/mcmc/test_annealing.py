"""Annealed populations: Ẑ is unbiased, its error is what it scatters by, and weighted by it so is every mean.

Targets are asymmetric and their Z known: E[Ẑ] = Z and E[Ẑ f(x)] = Z E[f] over runs, and broken twins fail that.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log, pi, sqrt
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from ornstein.domains.energies import system
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.mcmc import annealing
from ornstein.mcmc.annealing import ROUNDS, Annealed, anneal, merged
from ornstein.mcmc.densities import Density
from ornstein.mcmc.moves import HMC, MALA
from ornstein.mcmc.proposals import Kernels, wide
from ornstein.spaces import Centered, Euclidean, Space
from ornstein.states import Time
from worlds import anisotropic, assert_close, chi_square, double, rejected

RUNS, N = 20, 300
Energy = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Target:
    """An energy, the width of the noise it is annealed from, and E of some features.

    Attributes:
        log_z: log ∫ exp(−E).
        features: (n, ...) → (n, k).
    """

    energy: Energy
    space: Euclidean
    width: float
    log_z: float
    features: Callable[[Tensor], Tensor]
    means: Tensor


def plane_moments(x: Tensor) -> Tensor:
    return torch.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], 1)


def moments_of(mean: Tensor, cov: Tensor) -> Tensor:
    return torch.cat([mean, (cov + mean[:, None] * mean)[[0, 0, 1], [0, 1, 1]]])


def mixture() -> Target:
    """Three thin modes: moments, and the weights of two of them."""
    world = anisotropic()
    parts: Any = world.components
    covs = parts.axes @ torch.diag_embed(parts.variances) @ parts.axes.mT
    second = (world.weights[:, None, None] * (covs + parts.means[:, :, None] * parts.means[:, None])).sum(0)
    mean = world.weights @ parts.means

    def features(x: Tensor) -> Tensor:
        share = (world.weights.log() + parts.log_likelihood(x, 0.0)).softmax(1)
        return torch.cat([plane_moments(x), share[:, :2]], 1)

    expected = torch.cat([moments_of(mean, second - mean[:, None] * mean), world.weights[:2]])
    return Target(lambda x: -world.log_density(x, 0.0), Euclidean((2,)), 1.5, log(2 * pi), features, expected)


def correlated() -> Target:
    mean, cov = double([1.0, -2.0]), double([[1.0, 0.8], [0.8, 1.0]])
    precision = torch.linalg.inv(cov)

    def energy(x: Tensor) -> Tensor:
        return (((x - mean) @ precision) * (x - mean)).sum(1) / 2

    log_z = log(2 * pi) + cov.logdet().item() / 2
    return Target(energy, Euclidean((2,)), 3.0, log_z, plane_moments, moments_of(mean, cov))


def funnel() -> Target:
    """x₀ ~ N(0, 1.5²), x₁ ~ N(0, e^{x₀}): E[x₁²] = e^{1.5²/2}, too wild to be tested itself, but E[x₁² e^{−x₀}] = 1."""

    def energy(x: Tensor) -> Tensor:
        return x[:, 0] ** 2 / 4.5 + x[:, 1] ** 2 * (-x[:, 0]).exp() / 2 + x[:, 0] / 2

    def features(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], x[:, 1].tanh(), x[:, 0] ** 2, x[:, 1] ** 2 * (-x[:, 0]).exp()], 1)

    return Target(energy, Euclidean((2,)), 3.0, log(3 * pi), features, double([0.0, 0.0, 2.25, 1.0]))


def gamma() -> Target:
    """Not a number on one half of the line: −log of x² e^{−x}, whose integral is 2."""

    def features(x: Tensor) -> Tensor:
        return torch.cat([x, x**2], 1)

    return Target(lambda x: (x - 2 * x.log()).sum(1), Euclidean((1,)), 4.0, log(2), features, double([3.0, 12.0]))


def walled() -> Target:
    """Infinite on one half of the line, and exponential on the other."""

    def features(x: Tensor) -> Tensor:
        return torch.cat([x, x**2], 1)

    def energy(x: Tensor) -> Tensor:
        return torch.where(x < 0, torch.inf, x).sum(1)

    return Target(energy, Euclidean((1,)), 2.0, 0.0, features, double([1.0, 2.0]))


def normal() -> Target:
    def features(x: Tensor) -> Tensor:
        return torch.cat([x, x**2], 1)

    return Target(
        lambda x: (x - 1).square().sum(1) / 2, Euclidean((1,)), 8.0, log(2 * pi) / 2, features, double([1.0, 2.0])
    )


def dimer() -> Target:
    """Two Lennard-Jones particles in a trap, infinite at close quarters: an integral over their distance."""
    pair = system("lj-13").energy

    def energy(x: Tensor) -> Tensor:
        return torch.where((x[:, 0] - x[:, 1]).norm(dim=1) < 0.6, torch.inf, pair(x))

    def features(x: Tensor) -> Tensor:
        return (x[:, 0] - x[:, 1]).norm(dim=1)[:, None]

    r = torch.linspace(0.6, 25, 100_001, dtype=torch.float64)
    mass = r**2 * (-(2 * (r**-12 - 2 * r**-6) + r**2 / 4)).exp()
    z = torch.trapezoid(mass, r)
    log_z = log(4 * pi / sqrt(8)) + z.log().item()  # the centred volume is that of r / √2
    return Target(energy, Centered((2, 3)), 2.0, log_z, features, (torch.trapezoid(r * mass, r) / z)[None])


def wells() -> Target:
    """Four particles in double wells; its facts are by quadrature."""
    found = system("dw-4")
    assert found.shares is not None
    assert found.group is not None
    group, shares = found.group, found.shares.double()

    def features(x: Tensor) -> Tensor:
        return torch.stack([found.energy(x), (group(x) == 2).double(), (group(x) == 4).double()], 1)

    expected = double([found.reference["energy"], shares[2], shares[4]])
    return Target(found.energy, found.space(), found.width, found.reference["log_z"], features, expected)


TARGETS = {target.__name__: target for target in (mixture, correlated, funnel, gamma, walled, dimer, wells)}


def populations(target: Target, kind: type[Density] = Density, runs: int = RUNS, **options: Any) -> list[Annealed]:
    base, density = wide(target.space, target.width), kind.of_energy(target.energy, target.space)
    return [anneal(density, base, Keys.of(seed, N), **options) for seed in range(runs)]


def assert_unbiased(target: Target, found: list[Annealed]) -> None:
    """E[Ẑ] = Z and E[Ẑ f] = Z E[f], within four standard errors over the runs."""
    z = double([run.log_evidence - target.log_z for run in found]).exp()
    means = torch.stack([target.features(run.point.x).mean(0) for run in found])
    off = torch.cat([z[:, None] - 1, z[:, None] * (means - target.means)], 1)
    errors = off.mean(0) / (off.std(0) / len(found) ** 0.5)
    assert errors.abs().max() < 4, [round(error, 1) for error in errors.tolist()]


def assert_covers(target: Target, found: list[Annealed]) -> None:
    """log Z scatters by its stated error, to a factor of two, and about the right value."""
    off = double([run.log_evidence - target.log_z for run in found])
    stated = double([run.error for run in found])
    assert 0.5 < (off / stated).square().mean().sqrt() < 2, f"{off.std():.3f} ≠ {stated.mean():.3f}"
    assert off.mean().abs() < 4 * off.std() / len(found) ** 0.5 + off.var() / 2  # the logarithm is concave


@pytest.mark.parametrize("name", TARGETS)
def test_evidence_and_means_are_unbiased_and_the_error_covers(name: str) -> None:
    target = TARGETS[name]()
    found = populations(target)
    assert_unbiased(target, found)
    assert_covers(target, found)
    assert not any(run.collapsed for run in found)
    assert all(run.point.x.isfinite().all() and run.point.values.isfinite().all() for run in found)


# Broken twins -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Swapped(Density):
    """A broken twin: the temperatures of base and target are exchanged."""

    def at_weights(self, *weights: Time) -> Self:
        return super().at_weights(*reversed(weights))  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Cold(Density):
    """A broken twin: moves by the target alone, at every temperature."""

    def at_weights(self, *weights: Time) -> Self:
        return super().at_weights(0.0, 1.0)  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("kind", [Swapped, Cold])
def test_the_wrong_temperature_is_rejected(kind: type[Density]) -> None:
    target = mixture()
    rejected(assert_unbiased, target, populations(target, kind))


def test_dropped_weights_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that count for Z, but not for who survives."""
    target = mixture()
    monkeypatch.setattr(annealing, "systematic", lambda weights, u: torch.arange(len(weights)))
    rejected(assert_unbiased, target, populations(target))


def test_an_error_of_independent_weights_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scatter of the last weights alone, as if nothing had been resampled before."""
    target = mixture()
    own = annealing.family_error
    monkeypatch.setattr(annealing, "family_error", lambda weights, ancestor: own(weights, torch.arange(len(ancestor))))
    found = populations(target)
    assert_unbiased(target, found)
    rejected(assert_covers, target, found)


def test_other_moves_and_ladders_give_the_same() -> None:
    target = correlated()
    every: list[dict[str, Any]] = [{"move": MALA(step_size=0.3)}, {"moves": 1, "share": 0.9}]
    for options in every:
        found = populations(target, **options)
        assert_unbiased(target, found)
        assert_covers(target, found)


# What a population says of itself -----------------------------------------------------------------------


def test_the_ladder_climbs_to_one() -> None:
    target = wells()
    found = anneal(Density.of_energy(target.energy, target.space), wide(target.space, target.width), Keys.of(0, N))
    assert found.betas[0] == 0
    assert found.betas[-1] == 1
    assert all(low < high for low, high in zip(found.betas, found.betas[1:], strict=False))
    assert len(found.acceptance) == len(found.betas) - 1
    assert all(0.1 < rate <= 1 for rate in found.acceptance)
    assert (found.ancestor.diff() >= 0).all()  # families stand side by side
    assert found.point.values.shape == (1, N)


def test_shares_of_a_large_population() -> None:
    """Numbers of short bonds in four double wells, against quadrature: by families, as they are not independent."""
    dw4 = system("dw-4")
    assert dw4.group is not None
    assert dw4.shares is not None
    found = anneal(Density.of_energy(dw4.energy, dw4.space()), wide(dw4.space(), dw4.width), Keys.of(1, 2000))
    counts = torch.bincount(dw4.group(found.point.x), minlength=7)
    effective = counts / 2000 / (found.error**2 + 1 / 2000)  # as many independent samples
    chosen = dw4.shares > 0.01
    statistic, p = chi_square(effective[chosen], dw4.shares[chosen] / dw4.shares[chosen].sum())
    assert p > 0.01, f"chi-square {statistic:.1f}"
    assert found.log_evidence == pytest.approx(dw4.reference["log_z"], abs=4 * found.error)


def test_the_same_keys_give_the_same_population() -> None:
    target = mixture()
    density, base = Density.of_energy(target.energy, target.space), wide(target.space, target.width)
    one, again, other = (anneal(density, base, Keys.of(seed, 100)) for seed in (3, 3, 4))
    assert one.point.x.equal(again.point.x)
    assert one.log_evidence == again.log_evidence
    assert not one.point.x.equal(other.point.x)


def test_what_the_base_does_not_reach_is_not_found() -> None:
    """A narrow base sees one mode of three: its log Z is that mode's, and nothing says so but another population."""
    target = mixture()
    base = Kernels(double([[-1.5, 0.0]]), 0.1, target.space)
    found = anneal(Density.of_energy(target.energy, target.space), base, Keys.of(0, 1000))
    assert found.log_evidence == pytest.approx(target.log_z + log(0.5), abs=0.2)
    assert not found.collapsed


def test_a_population_of_a_few_says_that_it_has_collapsed() -> None:
    target = correlated()
    far = anneal(
        Density.of_energy(lambda x: 50 * target.energy(x), target.space),
        wide(target.space, 30.0),
        Keys.of(0, 30),
        moves=1,
    )
    assert far.collapsed
    assert far.families < 10


def test_lennard_jones_from_wide_noise_stays_finite() -> None:
    """Energies up to 10¹⁸ at the start."""
    lj = system("lj-13")
    density, base = Density.of_energy(lj.energy, lj.space()), wide(lj.space(), lj.width)
    start = base.sample(Keys.of(0, 200).fold("base"))
    assert lj.energy(start).max() > 1e8
    found = anneal(density, base, Keys.of(0, 200), share=0.5)
    assert found.point.x.isfinite().all()
    assert lj.energy(found.point.x).mean() < 60
    assert found.betas[1] < 1e-3


# What it may cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [300, 301, 1800, 5000, 9300, 20_000, 31_799])
def test_a_limit_of_evaluations_is_kept(most: int) -> None:
    """Particles first, then rounds of three moves of five gradients, then what is left in single moves."""
    target = wells()
    density = Density.of_energy(target.energy, target.space)
    density.tally.values = 17  # of others
    found = anneal(density, wide(target.space, target.width), Keys.of(0, N), HMC(step_size=0.3, num_steps=5), most=most)
    spent = density.tally.evaluations - 17
    assert spent <= most
    assert most - spent < 5 * N  # no move more could be paid for
    assert found.cut
    assert found.betas[-1] == 1
    assert len(found.ancestor) == N


def test_a_limit_that_suffices_changes_nothing() -> None:
    target = wells()
    density, base = Density.of_energy(target.energy, target.space), wide(target.space, target.width)
    free = anneal(density, base, Keys.of(0, N))
    spent = density.tally.evaluations
    exact = anneal(density, base, Keys.of(0, N), most=spent)
    short = anneal(density, base, Keys.of(0, N), most=spent - 1)
    assert not free.cut
    assert not exact.cut
    assert exact.point.x.equal(free.point.x)
    assert short.cut


def test_fewer_evaluations_than_particles_are_refused() -> None:
    target = wells()
    density, base = Density.of_energy(target.energy, target.space), wide(target.space, target.width)
    with pytest.raises(InputError, match=r"300 particles take as many evaluations .* not most=299"):
        anneal(density, base, Keys.of(0, N), most=299)


@pytest.mark.parametrize("most", [N, 6 * N, 20 * N])
def test_cut_short_the_evidence_is_still_unbiased(most: int) -> None:
    target = correlated()
    found = populations(target, most=most)
    assert all(run.cut for run in found)
    assert_unbiased(target, found)


# What is said of few families -------------------------------------------------------------------------


def test_the_error_of_equal_families_is_students() -> None:
    """k equal families of many particles: √(1/k) at k degrees of freedom, 6.5 times as wide for one alone."""
    for k, widened in ((1, 12.706), (2, 4.303), (10, 2.228), (100, 1.984)):
        ancestor = (torch.arange(10_000) % k).sort().values
        found = annealing.family_error(torch.zeros(10_000, dtype=torch.float64), ancestor)
        assert found == pytest.approx(widened / 1.960 * k**-0.5, rel=0.02)
    every = annealing.family_error(torch.zeros(100, dtype=torch.float64), torch.arange(100))
    assert every == pytest.approx(0, abs=1e-9)


# How long it moves --------------------------------------------------------------------------------------


def spent(step: float, rounds: int = ROUNDS, most: int | None = None) -> int:
    """Evaluations a particle, of a walk with a move whose step is as given and stays so."""

    @dataclass(frozen=True, kw_only=True)
    class Fixed(HMC):
        def with_step(self, step: Tensor) -> Self:
            return self

    target = normal()
    density = Density.of_energy(target.energy, target.space)
    move = Fixed(step_size=step, num_steps=1)
    found = anneal(density, wide(target.space, 8.0), Keys.of(0, 50), move, most=most, rounds=rounds)
    assert not found.cut
    return (density.tally.evaluations // 50 - 1) // (len(found.betas) - 1)


def test_moves_go_on_until_the_energy_is_forgotten() -> None:
    """One round of three moves or so where they are good, all where they creep, and fewer under a limit."""
    assert spent(1.5) <= 2 * 3
    assert spent(0.001) == ROUNDS * 3
    assert spent(0.001, rounds=5) == 5 * 3
    assert 3 < spent(0.001, most=50 * 100) < ROUNDS * 3


def assert_settled(found: list[Annealed]) -> None:
    """The energies of particles that follow π_β do not drift."""
    assert double([run.drift for run in found]).abs().mean() < 1.5


def test_moves_that_do_not_follow_the_path_drift() -> None:
    target = normal()
    assert_settled(populations(target, runs=4))
    rejected(assert_settled, populations(target, Cold, runs=4))


def assert_enters_the_neck() -> None:
    """Of the mass of a funnel in ten dimensions, 16 % are in places a hundred times narrower than the rest."""
    found = system("funnel-10")
    density, base = Density.of_energy(found.energy, found.space()), wide(found.space(), found.width)
    run = anneal(density, base, Keys.of(0, 1000), rounds=10)
    assert (run.point.x[:, 0] < -3).double().mean() > 0.04


@pytest.mark.slow
def test_short_steps_enter_narrow_places(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_enters_the_neck()
    monkeypatch.setattr(annealing, "SMALLEST", 1.0)
    rejected(assert_enters_the_neck)


# Several populations as one -----------------------------------------------------------------------------


def some_populations(target: Target, sizes: tuple[int, ...], seed: int, moved: bool = True) -> list[Annealed]:
    density, base = Density.of_energy(target.energy, target.space), wide(target.space, target.width)
    keys = [Keys.of(100 * seed + k, n) for k, n in enumerate(sizes)]
    return [anneal(density, base, one, most=None if moved else len(one)) for one in keys]


def test_merged_populations_count_by_their_evidence() -> None:
    parts = some_populations(wells(), (20, 30, 50), 0, moved=False)
    whole = merged(parts)
    z = double([part.log_evidence for part in parts]).exp() * double([20, 30, 50])
    assert whole.log_evidence == pytest.approx(float((z.sum() / 100).log()))
    assert_close(torch.stack([part.sum() for part in whole.shares.split([20, 30, 50])]), z / z.sum())
    assert whole.families == sum(part.families for part in parts)
    assert_close(whole.log_weights.exp().mean(), double(1.0))
    assert whole.point.values.shape == (1, 100)
    nested = merged([merged(parts[:2]), parts[2]])
    assert nested.log_evidence == pytest.approx(whole.log_evidence)
    assert_close(nested.shares, whole.shares)
    assert_close(merged(parts[:1]).shares, parts[0].shares)


def assert_merging_is_unbiased(found: list[Annealed]) -> None:
    """Of Z and of means, under merged populations of different size that scatter much."""
    target = normal()
    z = double([run.log_evidence - target.log_z for run in found]).exp()
    means = torch.stack([run.log_weights.softmax(0) @ target.features(run.point.x) for run in found])
    off = torch.cat([z[:, None] - 1, z[:, None] * (means - target.means)], 1)
    errors = off.mean(0) / (off.std(0) / len(found) ** 0.5)
    assert errors.abs().max() < 4, [round(error, 1) for error in errors.tolist()]


def test_merged_populations_are_unbiased() -> None:
    parts = [some_populations(normal(), (4, 12), seed, moved=False) for seed in range(200)]
    whole = [merged(both) for both in parts]
    assert_merging_is_unbiased(whole)
    mean_logs = [sum(part.log_evidence for part in both) / 2 for both in parts]
    by_log = [replace(run, log_evidence=mean) for run, mean in zip(whole, mean_logs, strict=True)]
    rejected(assert_merging_is_unbiased, by_log)
    equally = [replace(run, log_weights=torch.zeros(16, dtype=torch.float64)) for run in whole]
    rejected(assert_merging_is_unbiased, equally)


def test_shares_of_families_sum_to_one() -> None:
    found = some_populations(wells(), (100,), 0)[0]
    assert_close(found.shares.sum(), double(1.0))
    assert (found.shares > 0).sum() == found.families
    assert found.size == pytest.approx(1 / float((torch.bincount(found.ancestor) / 100).square().sum()))


# Kernels about points -------------------------------------------------------------------------------------


def test_kernels_are_a_density() -> None:
    """Normalised, and drawn as it says: log p of its own draws is, on average, minus its entropy."""
    kernels = Kernels(double([[0.0, 0.0], [1.0, 0.5], [-0.4, 1.0]]), 0.3, Euclidean((2,)))
    axis = torch.arange(-4, 4, 0.05, dtype=torch.float64)
    plane = torch.cartesian_prod(axis, axis)
    log_p = kernels.log_prob(plane)
    assert (log_p.exp().sum() * 0.05**2).item() == pytest.approx(1, abs=1e-6)
    x = kernels.sample(Keys.of(0, 4000))
    own = kernels.log_prob(x)
    expected = (log_p.exp() * log_p).sum() * 0.05**2
    assert abs(own.mean() - expected) < 4 * own.std() / 4000**0.5


def test_kernels_of_centred_points_live_on_their_degrees_of_freedom() -> None:
    space: Space = Centered((3, 2))
    assert isinstance(space, Centered)
    points = space.project(Keys.of(0, 5).normal(3, 2))
    kernels = Kernels(points, 0.5, space)
    x = kernels.sample(Keys.of(1, 4000))
    assert x.mean(1).abs().max() < 1e-12
    single = Kernels(points[:1], 0.5, space)
    exact = -0.5 * ((x - points[0]) / 0.5).square().sum((1, 2)) - 4 * log(0.5 * sqrt(2 * pi))
    torch.testing.assert_close(single.log_prob(x), exact)
    assert (kernels.sample(Keys.of(2, 4000)) - points[None].mean(1)).std() > 0.5


def test_kernels_leave_no_gaps_between_points() -> None:
    """A population from a cloud about exact draws has the right Z; from kernels as narrow as the way to the nearest
    neighbour, it takes more than twice the evaluations for more than twice the error."""
    target = mixture()

    def found(width: float | None, seed: int) -> tuple[Annealed, int]:
        points = anisotropic().draw(Keys.of(100 + seed, 300)).double()
        cloud = Kernels.of(points, target.space) if width is None else Kernels(points, width, target.space)
        move = HMC(step_size=0.3 * cloud.width / float(points.std()), num_steps=5)
        density = Density.of_energy(target.energy, target.space)
        return anneal(density, cloud, Keys.of(seed, 400), move), density.tally.evaluations

    wide_enough = [found(None, seed) for seed in range(6)]
    off = [(run.log_evidence - target.log_z) / run.error for run, _ in wide_enough]
    assert abs(sum(off)) / sqrt(6) < 3.5
    narrow, evaluations = found(0.01, 0)
    assert narrow.error > 2 * wide_enough[0][0].error
    assert evaluations > 2 * wide_enough[0][1]


def test_kernels_need_points_that_differ() -> None:
    same = torch.ones(30, 2, dtype=torch.float64)
    with pytest.raises(InputError, match="most of 30 points are the same as others"):
        Kernels.of(same, Euclidean((2,)))
    twice = Keys.of(0, 30).normal(2).repeat(3, 1)
    assert Kernels.of(twice, Euclidean((2,))).width > 0.01


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_an_energy_that_is_nowhere_finite_is_refused(value: float) -> None:
    density = Density.of_energy(lambda x: torch.full_like(x[:, 0], value), Euclidean((2,)))
    with pytest.raises(InputError, match="infinite or not a number at each of 50 points"):
        anneal(density, wide(Euclidean((2,)), 1.0), Keys.of(0, 50))


@pytest.mark.parametrize("sign", [0.0, -1.0], ids=["flat", "bottomless"])
def test_an_energy_whose_integral_is_infinite_is_refused(sign: float) -> None:
    density = Density.of_energy(lambda x: sign * x.square().sum(1), Euclidean((2,)))
    with pytest.raises(InputError, match=r"not reached in \d+ temperatures: .* or has no integral"):
        anneal(density, wide(Euclidean((2,)), 1.5), Keys.of(0, 200))


def test_what_is_too_far_away_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six hundred widths from the base: thousands of temperatures."""
    monkeypatch.setattr(annealing, "LEVELS", 50)
    density = Density.of_energy(lambda x: 5e4 * (x - 60).square().sum(1), Euclidean((2,)))
    with pytest.raises(InputError, match="not reached in 50 temperatures: it is too far from where"):
        anneal(density, wide(Euclidean((2,)), 0.05), Keys.of(0, 50), moves=1)
