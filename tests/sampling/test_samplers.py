"""Sampled marginals are exact; solvers converge with their order; a run is a pure function of its keys."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.denoisers.base import Denoiser, Traits
from ornstein.denoisers.oracles import Mixture
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.sampling.grids import log_snr, uniform
from ornstein.sampling.kernels import Heun, Kernel, Predictor, SamplerState
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import EDM, Cosine, Linear, RectifiedFlow, Schedule, VarianceExploding
from ornstein.spaces import Euclidean
from ornstein.states import concatenate, leaves, map_state, take
from ornstein.tasks.drawing import sample
from ornstein.tasks.samples import read_samples
from worlds import (
    JOINT_WEIGHTS,
    TooLoose,
    Uncoupled,
    anisotropic,
    assert_close,
    assert_frequencies,
    assert_same_law,
    convergence_order,
    coupled,
    double,
    draw_samples,
    rejected,
    sequences,
    smooth,
    table,
)

N = 4000


# Marginals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("eta", "order"), [(0.0, 1), (0.0, 2), (1.0, 1), (0.5, 1)])
def test_mixture_marginal_is_exact(eta: float, order: int) -> None:
    world = anisotropic()
    assert_same_law(draw_samples(world, log_snr(100, world.space), N, eta=eta, order=order), world)


@pytest.mark.parametrize("schedule", [Linear(), RectifiedFlow(), VarianceExploding(), EDM()], ids=repr)
def test_every_schedule_reaches_the_same_marginal(schedule: Schedule) -> None:
    world = anisotropic(schedule)
    assert_same_law(draw_samples(world, log_snr(60, world.space), N, eta=0.0, order=2), world)


def test_marginal_test_rejects_noise_too_wide_and_too_few_steps() -> None:
    world = anisotropic()
    grid = log_snr(100, world.space)
    rejected(assert_same_law, Sampler(grid, (TooLoose(),)).run(world, Keys.of(0, N)), world)
    rejected(assert_same_law, draw_samples(world, uniform(3), N), world)


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_categorical_frequencies_are_exact_on_all_states(kind: str) -> None:
    """Positions move independently within a step, exact only as the steps grow many; 200 hide it."""
    world = sequences(kind)
    assert_frequencies(draw_samples(world, uniform(200), 8000), table(3, 2))


@pytest.mark.parametrize("kind", ["masked", "uniform", "substitution"])
def test_frequency_test_rejects_one_parallel_step(kind: str) -> None:
    rejected(assert_frequencies, draw_samples(sequences(kind), uniform(1), 8000), table(3, 2))


def assert_coupled(sample: Any, world: Mixture) -> None:
    """Both margins, and where the positions are on average for each pair of tokens."""
    x, tokens = sample["x"].double(), sample["tokens"]
    parts: Any = world.components
    assert_same_law(x, Mixture(world.weights, parts.parts["x"]))
    assert_frequencies(tokens, JOINT_WEIGHTS.reshape(2, 2))
    for pair, mean in zip(parts.parts["tokens"].sequences, parts.parts["x"].means, strict=True):
        near = x[(tokens == pair).all(1)]
        error = (near.mean(0) - mean).abs() / (near.std(0) / len(near) ** 0.5)
        assert (error < 4).all(), f"tokens {pair.tolist()}: mean {near.mean(0).tolist()}, expected {mean.tolist()}"


def test_joint_margins_and_coupling_are_exact() -> None:
    world = coupled()
    assert_coupled(draw_samples(world, uniform(150), N), world)
    assert_coupled(world.draw(Keys.of(5, N)), world)


def test_joint_test_rejects_parts_that_ignore_each_other() -> None:
    world = coupled()
    sample = draw_samples(Uncoupled(world), uniform(150), N)
    assert_same_law(sample["x"], Mixture(world.weights, world.components.parts["x"]))  # pyright: ignore[reportAttributeAccessIssue]
    rejected(assert_coupled, sample, world)


# Order of convergence -----------------------------------------------------------------------------


def solve(
    world: Mixture, schedule: Schedule, steps: int, order: int = 1, correct: bool = False, kernel: Kernel | None = None
) -> Tensor:
    """The probability flow between log-SNR −6 and 6 from given states, in equal steps of log-SNR."""
    grid = schedule.time(torch.linspace(-6, 6, steps + 1, dtype=torch.float64)).tolist()
    keys = Keys.of(3, 64)
    start = world.space.noise(world.draw(keys.fold("data")).double(), grid[0], keys)
    return Sampler(grid, (kernel or Predictor(0.0, order, correct),)).run(world, keys, start=start)


@lru_cache
def reference(schedule: Schedule) -> Tensor:
    return solve(smooth(schedule), schedule, 1024, 3)


STEPS = (16, 32, 64, 128)
SOLVED = [Cosine(), Linear(), RectifiedFlow(), VarianceExploding(), EDM()]


def assert_order(schedule: Schedule, used: int, claimed: int, tolerance: float) -> None:
    """The solver of order `used` converges with the order `claimed`."""
    world = smooth(schedule)
    exact = reference(schedule)
    errors = [(solve(world, schedule, n, used) - exact).norm(dim=1).mean().item() for n in STEPS]
    found = convergence_order(STEPS, errors)
    assert abs(found - claimed) < tolerance, f"order {found:.3f} from errors {errors}"


@pytest.mark.parametrize("schedule", SOLVED, ids=lambda s: type(s).__name__)
def test_ddim_is_of_first_order(schedule: Schedule) -> None:
    assert_order(schedule, used=1, claimed=1, tolerance=0.15)


@pytest.mark.parametrize("schedule", SOLVED, ids=lambda s: type(s).__name__)
def test_extrapolated_belief_is_of_second_order(schedule: Schedule) -> None:
    assert_order(schedule, used=2, claimed=2, tolerance=0.2)


@pytest.mark.parametrize("schedule", SOLVED, ids=lambda s: type(s).__name__)
def test_three_beliefs_are_of_third_order(schedule: Schedule) -> None:
    assert_order(schedule, used=3, claimed=3, tolerance=0.3)


@pytest.mark.parametrize("order", [1, 2])
def test_order_test_rejects_a_solver_claimed_one_order_higher(order: int) -> None:
    rejected(assert_order, Cosine(), used=order, claimed=order + 1, tolerance=0.3)


def test_the_corrector_lowers_the_error_at_no_further_call() -> None:
    world, exact = smooth(), reference(Cosine())
    for order in (2, 3):
        errors = [(solve(world, Cosine(), 16, order, fix) - exact).norm(dim=1).mean() for fix in (False, True)]
        assert errors[1] < 0.6 * errors[0]
    walks = list(Sampler(uniform(9), (Predictor(0.0, 3, correct=True),)).steps(world, Keys.of(0, 2)))
    assert walks[-1].nfe == 9


def test_heun_is_of_second_order_in_two_calls_a_step() -> None:
    world, exact = smooth(), reference(Cosine())
    errors = [(solve(world, Cosine(), n, kernel=Heun()) - exact).norm(dim=1).mean().item() for n in STEPS]
    assert abs(convergence_order(STEPS, errors) - 2) < 0.2
    walks = list(Sampler(uniform(9), (Heun(),)).steps(world, Keys.of(0, 2)))
    assert walks[-1].nfe == 17  # the last step needs one


# Purity -------------------------------------------------------------------------------------------

WORLDS = {"euclidean": anisotropic, "categorical": lambda: sequences("masked"), "product": coupled}


def assert_split_free(world: Mixture, seeds_of_parts: tuple[int, int] = (8, 8)) -> None:
    """Twelve samples at once are the same as five and then seven, to the last bit or two of float64."""
    sampler = Sampler(uniform(9), (Predictor(eta=0.7),))
    start = world.space.prior(Keys.of(8, 12).fold("prior"))
    whole = sampler.run(world, Keys.of(8, 12), start=doubled(start))
    spans = zip(seeds_of_parts, pairwise((0, 5, 12)), strict=True)
    runs = [
        sampler.run(world, Keys.of(seed, range(a, b)), start=doubled(take(start, slice(a, b))))
        for seed, (a, b) in spans
    ]
    for one, other in zip(leaves(whole), leaves(concatenate(runs)), strict=True):
        assert_close(one, other, 1e-12)


def doubled(state: Any) -> Any:
    return map_state(lambda x: x.double() if x.is_floating_point() else x, state)


@pytest.mark.parametrize("kind", WORLDS)
def test_samples_do_not_depend_on_the_batch(kind: str) -> None:
    assert_split_free(WORLDS[kind]())


@pytest.mark.parametrize("kind", WORLDS)
def test_batch_test_rejects_a_seed_a_chunk(kind: str) -> None:
    rejected(assert_split_free, WORLDS[kind](), seeds_of_parts=(8, 9))


@pytest.mark.parametrize("kind", WORLDS)
def test_the_prior_draw_does_not_depend_on_the_batch(kind: str) -> None:
    space = WORLDS[kind]().space
    parts = concatenate([space.prior(Keys.of(8, range(a, b))) for a, b in pairwise((0, 3, 4, 12))])
    for one, other in zip(leaves(space.prior(Keys.of(8, 12))), leaves(parts), strict=True):
        assert one.equal(other)


def test_a_run_repeats_itself_and_obeys_its_seed() -> None:
    world = anisotropic()
    first, again, other = (draw_samples(world, uniform(5), 6, seed) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.isclose(other).any()


# Few steps, exact ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_one_step_from_pure_noise_returns_the_mean_of_the_data(eta: float) -> None:
    world = anisotropic()
    mean = (world.weights[:, None] * world.components.means).sum(0)  # pyright: ignore[reportAttributeAccessIssue]
    assert_close(draw_samples(world, (1.0, 0.0), 5, eta=eta).double(), mean.expand(5, 2), 1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_two_steps_are_the_written_out_expression(eta: float) -> None:
    world, s = anisotropic(), 0.5
    keys, schedule = Keys.of(4, 5), world.space.schedule  # pyright: ignore[reportAttributeAccessIssue]
    x1 = world.space.prior(keys.fold("prior")).double()
    alpha, sigma, x0 = schedule.alpha(s), schedule.sigma(s), world(x1, 1.0).mean
    fresh = eta * sigma  # τ at t = 1, where α_t = 0
    noise = keys.fold("steps").fold(0).normal(2)
    xs = alpha * x0 + (sigma**2 - fresh**2).clamp(min=0).sqrt() * x1 + fresh * noise
    found = Sampler((1.0, s, 0.0), (Predictor(eta),)).run(world, keys, start=x1)
    assert_close(found, world(xs, s).mean, 1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_the_last_step_lands_on_the_belief(order: int) -> None:
    *_, last = Sampler(uniform(7), (Predictor(1.0, order),)).steps(anisotropic(), Keys.of(0, 5))
    assert last.t == 0
    assert last.x.equal(last.belief.mean)


def test_steps_yield_every_interval_and_count_evaluations() -> None:
    walks = list(Sampler(uniform(6)).steps(anisotropic(), Keys.of(0, 3)))
    assert [walk.nfe for walk in walks] == [1, 2, 3, 4, 5, 6]
    assert [walk.t for walk in walks] == pytest.approx([5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])


def test_kernels_of_one_interval_run_in_turn_with_their_own_noise() -> None:
    seen: list[int] = []

    def spy(state: SamplerState, s: Any, denoiser: Any, condition: Any, keys: Keys) -> SamplerState:
        seen.append(int(keys.key[0]))
        return state

    Sampler(uniform(3), (spy, spy)).run(anisotropic(), Keys.of(0, 2))
    assert len(seen) == len(set(seen)) == 6


# Times --------------------------------------------------------------------------------------------


def test_times_per_sample_are_as_many_separate_runs() -> None:
    world, keys = smooth(), Keys.of(6, 3)
    grids = double([[1.0, 0.5, 0.2, 0.0], [0.9, 0.3, 0.1, 0.0], [0.4, 0.3, 0.05, 0.0]])
    start = world.space.noise(world.draw(keys).double(), grids[:, 0], keys)
    together = Sampler(grids.T, (Predictor(0.3, 2),)).run(world, keys, start=start)
    for i, grid in enumerate(grids.tolist()):
        alone = Sampler(grid, (Predictor(0.3, 2),)).run(world, keys[i : i + 1], start=start[i : i + 1])
        assert_close(together[i], alone[0], 1e-12)


def test_a_sample_that_is_already_clean_stays() -> None:
    world, keys = smooth(), Keys.of(6, 2)
    start = world.draw(keys).double()
    grid = [double([0.0, 1.0]), double([0.0, 0.5]), double([0.0, 0.0])]
    assert_close(Sampler(grid).run(world, keys, start=start)[0], start[0], 0.0)


def test_times_per_position_reveal_tokens_one_by_one_and_exactly() -> None:
    """Revealing one position a step is exact with as few steps as positions, unlike parallel steps."""
    grid = [double(times).expand(8000, 2) for times in ([1.0, 1.0], [0.0, 1.0], [0.0, 0.0])]
    world = sequences("masked")
    assert_frequencies(Sampler(grid).run(world, Keys.of(1, 8000)), table(3, 2))
    rejected(assert_frequencies, Sampler((1.0, 0.5, 0.0)).run(world, Keys.of(1, 8000)), table(3, 2))


# Gradients ----------------------------------------------------------------------------------------


def test_the_gradient_flows_through_the_whole_loop() -> None:
    world, keys = smooth(), Keys.of(2, 1)
    sampler = Sampler(uniform(6), (Predictor(0.0, 2),))

    def endpoint(x: Tensor) -> Tensor:
        return sampler.run(world, keys, start=x)

    start = double([[0.4, -0.7]]).requires_grad_()
    assert torch.autograd.gradcheck(endpoint, (start,))
    (slope,) = torch.autograd.grad(endpoint(start).sum(), start)
    assert slope.abs().min() > 0


def test_the_gradient_flows_to_the_times() -> None:
    world, start = smooth(), Keys.of(2, 3).normal(2)

    def endpoint(times: Tensor) -> Tensor:
        return Sampler((1.0, *times, 0.0), (Predictor(0.0, 3, correct=True),)).run(world, Keys.of(2, 3), start=start)

    assert torch.autograd.gradcheck(endpoint, (double([0.8, 0.6, 0.4, 0.1]).requires_grad_(),))


class Wide(Denoiser):
    """A network with many activations."""

    traits = Traits(Euclidean((2,)))

    def __call__(self, x_t: Any, t: Any, condition: Any = None) -> Normal:
        hidden = (x_t @ double([[1.0] * 128, [-0.5] * 128])).tanh().sin()
        return Normal(hidden.unflatten(1, (2, 64)).mean(-1) + 0.2 * x_t)


def differentiated(predictor: Predictor, checkpoint: bool) -> tuple[Tensor, Tensor, int]:
    """The end of a loop, its gradient, and the bytes that were kept for it."""
    start, kept = Keys.of(2, 64).normal(2).requires_grad_(), 0

    def count(x: Tensor) -> Tensor:
        nonlocal kept
        kept += x.nbytes
        return x

    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        walks = list(Sampler(uniform(12), (predictor,), checkpoint).steps(Wide(), Keys.of(2, 64), start=start))
    if checkpoint:  # what each move starts from stays too: its state, the one before, and new beliefs
        kept += sum(3 * walk.x.nbytes for walk in walks)
    end = walks[-1].x
    return end.detach(), torch.autograd.grad(end.square().sum(), start)[0], kept


@pytest.mark.parametrize("predictor", [Predictor(0.0, 3, correct=True), Predictor(0.6, 2)], ids=repr)
def test_checkpoints_save_memory_and_change_nothing(predictor: Predictor) -> None:
    (end, slope, kept), (same, again, fewer) = (differentiated(predictor, save) for save in (False, True))
    assert end.equal(same)
    assert slope.equal(again)
    assert fewer < kept / 10


class Holds(Denoiser):
    """A denoiser that knows the first coordinate of every sample."""

    def __init__(self, world: Mixture, known: Tensor) -> None:
        self.world, self.traits, self.known = world, world.traits, known

    def __call__(self, x_t: Any, t: Any, condition: Any = None) -> Normal:
        mean = self.world(x_t, t).mean.clone()
        mean[:, 0] = self.known
        return Normal(mean)


@pytest.mark.parametrize(("order", "correct"), [(1, False), (2, False), (2, True), (3, False), (3, True)])
def test_hard_constraints_survive_every_order(order: int, correct: bool) -> None:
    keys = Keys.of(4, 200)
    known = keys.fold("known").normal().float()
    grid = log_snr(11, anisotropic().space)
    walks = list(Sampler(grid, (Predictor(0.0, order, correct),)).steps(Holds(anisotropic(), known), keys))
    assert walks[-1].x[:, 0].equal(known)


# What is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(0.0, 1.0), (1.0, 0.5, 0.7), (1.2, 0.0), (0.5, -0.1)])
def test_grids_that_do_not_fall(grid: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="times fall from noise"):
        Sampler(grid)


def test_a_grid_of_one_time() -> None:
    with pytest.raises(ValueError, match="at least two times"):
        Sampler((1.0,))


def test_conditions_must_be_there_for_each_sample() -> None:
    with pytest.raises(InputError, match="'label' has 2 values, expected one for each of 3 samples"):
        sample(anisotropic(), 3, condition={"label": torch.zeros(2)})
    with pytest.raises(InputError, match="n is 0"):
        sample(anisotropic(), 0)


def test_the_film_starts_with_noise() -> None:
    drawn = sample(anisotropic(), 4, steps=5, trajectory=True)
    assert len(drawn.trajectory) == 6
    prior = anisotropic().space.prior(Keys.of(0, 4).fold("prior"))
    assert_close(drawn.trajectory[0], prior, 0.0)
    assert_close(drawn.trajectory[-1], drawn.x, 0.0)


# Compilation ------------------------------------------------------------------------------------------


def test_the_loop_compiles_whole_with_its_gradient() -> None:
    """In a process of its own: the run-time shape checks of the tests cannot be compiled."""
    program = Path(__file__).parents[1] / "compiled_loop.py"
    result = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("same end, same gradient") == 3


def test_one_sampler_serves_two_threads() -> None:
    world, sampler = anisotropic(), Sampler(uniform(20), (Predictor(0.7, 2),))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda seed: sampler.run(world, Keys.of(seed, 50)), range(8)))
    assert all(x.equal(sampler.run(world, Keys.of(seed, 50))) for seed, x in enumerate(found))


@pytest.mark.parametrize("text", ["3", "[]", "{}", '{"model": {}}'])
def test_what_is_not_a_manifest(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest.json( is .*|: field .*), expected "):
        read_samples(tmp_path)
