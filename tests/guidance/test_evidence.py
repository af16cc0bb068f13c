"""Measurements of fields: exact where the covariance has a root, and the evidence whole where it has not.

The networks here are Gaussian fields that tell nobody so: their covariance is a map, one product a gradient.
"""

from dataclasses import dataclass, replace
from math import nan
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ornstein.beliefs import Normal, counted
from ornstein.covariances import Covariance, Dense, Rooted
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.effort import Effort, Tally
from ornstein.errors import InputError
from ornstein.guidance import preconditioners, solves
from ornstein.guidance.factors import update
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import Blur, Downsample, Mask, Operator
from ornstein.guidance.preconditioners import Factored, Inner, Scaled, gaussian
from ornstein.keys import Keys
from ornstein.sampling.grids import uniform
from ornstein.sampling.kernels import Predictor
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.spaces import Euclidean
from ornstein.spectral.roots import Downdated, Spectral, power_law
from ornstein.spectral.transforms import periodic
from worlds import F64, assert_close, double, rejected

SHAPE = (16, 16)
STEEP = power_law(SHAPE, 3, periodic())


def matrix_of(cov: Covariance, shape: tuple[int, ...] = SHAPE) -> Tensor:
    size = torch.Size(shape).numel()
    return cov(torch.eye(size, dtype=F64).reshape(size, *shape)).reshape(size, size)


def sensors(m: int, shape: tuple[int, ...] = SHAPE, seed: int = 2) -> Mask:
    order = Keys.of(seed, 1).uniform(torch.Size(shape).numel())[0].argsort().argsort()
    return Mask((order < m).reshape(shape))


def states(batch: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return STEEP.root(Keys.of(3, batch).normal(*shape)) if shape == SHAPE else Keys.of(3, batch).normal(*shape)


@dataclass(frozen=True)
class Believing(Euclidean):
    """A space whose data are believed to be Gaussian: at every time, of one covariance."""

    believed: Any = None

    def gaussian_cov(self, t: Any, like: Tensor) -> Any:
        return self.believed


SPACE = Believing(SHAPE, believed=STEEP)
PLAIN = Euclidean(SHAPE)


def effort_of(factor: Any, cov: Covariance, mean: Tensor, space: Any = SPACE, valued: bool = True) -> Any:
    """The value, the belief, and what it took."""
    tally = Tally(valued=valued)
    value, belief = factor.update(counted(Normal(mean, cov), tally, 1), mean, 0.5, space)
    return value, belief, tally.effort


# Covariances with a root ------------------------------------------------------------------------------


def assert_exact(factor: Measurement, cov: Rooted, dense: Dense, mean: Tensor, tolerance: float = 1e-7) -> None:
    """Value, mean and covariance are those of dense algebra; what is left has a root and a determinant."""
    value, belief = factor.update(Normal(mean, cov), mean, 0.5, SPACE)
    expected, exact = factor.update(Normal(mean, dense), mean, 0.5, SPACE)
    v = Keys.of(8, len(mean)).normal(*SHAPE)
    assert_close(value, expected, tolerance)
    assert_close(belief.mean, exact.mean, tolerance)
    assert_close(belief.cov(v), exact.cov(v), tolerance)
    rest = belief.cov
    assert isinstance(rest, Rooted)
    assert_close(rest.root(rest.root_transposed(v)), exact.cov(v), 1e-5)
    assert_close(rest.whiten(rest.root(v)), v, 1e-4)
    assert_close(rest.log_det.expand(len(mean)), torch.linalg.slogdet(exact.cov.matrix).logabsdet, 1e-4)
    assert isinstance(rest, Downdated)


@pytest.fixture(scope="module")
def dense() -> Dense:
    return Dense(matrix_of(STEEP)[None])


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4))
def test_a_root_that_all_share_is_solved_exactly(m: int, batch: int) -> None:
    mean, prior = states(batch), matrix_of(STEEP)
    y = Keys.of(4, 1).normal(m)[0]
    assert_exact(Measurement(y, sensors(m), 0.3), STEEP, Dense(prior.expand(batch, -1, -1)), mean)


def test_that_rejects_a_wrong_width(dense: Dense) -> None:
    mean, y = states(2), Keys.of(4, 1).normal(50)[0]
    wide = Dense((1.02 * dense.matrix).expand(2, -1, -1))
    rejected(assert_exact, Measurement(y, sensors(50), 0.3), STEEP, wide, mean)


def test_another_measurement_of_what_is_left(dense: Dense) -> None:
    mean = states(2)
    first = Measurement(Keys.of(4, 1).normal(40)[0], sensors(40), 0.3)
    belief, exact = (
        first.update(Normal(mean, c), mean, 0.5, SPACE)[1] for c in (STEEP, Dense(dense.matrix.expand(2, -1, -1)))
    )
    assert_exact(Measurement(Keys.of(6, 1).normal(4, 4)[0], Downsample(4), 0.1), belief.cov, exact.cov, belief.mean)


@pytest.mark.parametrize("kind", ["function", "missing", "each"])
def test_what_differs_from_sample_to_sample_is_exact_too(kind: str, dense: Dense) -> None:
    """A linearised function, what some samples lack, and a covariance a sample."""
    mean, mask = states(3), sensors(20)
    y, cov, whole, operator = Keys.of(4, 3).normal(20), STEEP, dense.matrix.expand(3, -1, -1), mask
    if kind == "missing":
        y[0, 3], y[2, 5:] = nan, nan
    if kind == "function":
        operator = lambda x: mask(x).sinh()  # noqa: E731
    if kind == "each":
        scale = double([1.0, 0.5, 2.0])
        cov = replace(STEEP, variance=scale[:, None, None] * STEEP.variance)
        whole = scale[:, None, None] * dense.matrix
    assert_exact(Measurement(y, operator, 0.3), cov, Dense(whole.contiguous()), mean)


@pytest.mark.parametrize("shared", [True, False])
def test_beyond_what_is_formed_the_value_is_within_its_error(
    shared: bool, dense: Dense, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solves, "SHARED", 10)
    monkeypatch.setattr(solves, "EACH", 10)
    mean, y = states(2), Keys.of(4, 1).normal(40)[0]
    cov = STEEP if shared else replace(STEEP, variance=STEEP.variance.expand(2, *SHAPE))
    factor = Measurement(y, sensors(40), 0.5, tolerance=1e-5, direct=10)
    value, belief, effort = effort_of(factor, cov, mean)
    expected, exact = factor.update(Normal(mean, Dense(dense.matrix.expand(2, -1, -1))), mean, 0.5, SPACE)
    assert_close(belief.mean, exact.mean, 1e-4)
    assert ((value - expected).abs() < 3 * effort.doubt).all()
    assert (effort.doubt < 10).all()
    assert effort.gradients == 0


def test_what_is_diagonal_needs_one_iteration_and_is_exact(monkeypatch: pytest.MonkeyPatch, dense: Dense) -> None:
    """Frequencies of a field whose covariance is diagonal in them, however many."""
    monkeypatch.setattr(solves, "SHARED", 10)
    monkeypatch.setattr(solves, "EACH", 10)

    class Waves(Operator):
        def __call__(self, x: Tensor) -> Tensor:
            return periodic().forward(x)[:, :7]

        def adjoint(self, y: Tensor) -> Tensor:
            whole = y.new_zeros(len(y), *SHAPE)
            whole[:, :7] = y
            return periodic().inverse(whole)

    mean, y = states(2), Keys.of(4, 1).normal(7, 16)[0]
    factor = Measurement(y, Waves(), 0.1)
    value, belief, effort = effort_of(factor, STEEP, mean)
    expected, exact = factor.update(Normal(mean, Dense(dense.matrix.expand(2, -1, -1))), mean, 0.5, SPACE)
    assert_close(value, expected, 1e-7)
    assert_close(belief.mean, exact.mean, 1e-7)
    assert (effort.doubt < 1e-9).all()


# Covariances of networks ------------------------------------------------------------------------------


class Network:
    """A covariance that is a map: its field is steep, and its amplitude varies with the place."""

    def __init__(self, depth: float, shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = F64) -> None:
        amplitude = (depth * power_law(SHAPE, 4, periodic()).root(Keys.of(7, 1).normal(*SHAPE))[0]).exp().flatten()
        self.matrix = (amplitude[:, None] * matrix_of(STEEP) * amplitude).to(dtype)
        self.shape = shape

    def __call__(self, v: Tensor) -> Tensor:
        return (v.reshape(-1, 256) @ self.matrix.to(v)).reshape(v.shape)

    def believed(self, shape: tuple[int, ...] = SHAPE) -> Spectral:
        """Its own spectrum, which is all that a space may know; the same in every channel."""
        waves = periodic().inverse(torch.eye(256, dtype=F64).reshape(256, *SHAPE)).reshape(256, 256)
        return Spectral.of(
            torch.einsum("ki,ij,kj->k", waves, self.matrix.double(), waves).reshape(SHAPE).expand(shape), periodic()
        )


def truth(network: Network, operator: Operator, std: float, y: Tensor, mean: Tensor) -> Tensor:
    """log p(y) in closed form."""
    rows = operator(torch.eye(256, dtype=F64).reshape(256, *SHAPE)).flatten(1)
    system = rows.T @ network.matrix.double() @ rows + std**2 * torch.eye(rows.shape[1], dtype=F64)
    seen = operator(mean).flatten(1)
    return torch.distributions.MultivariateNormal(seen, system).log_prob(y.flatten().expand_as(seen))


def assert_whole(factor: Measurement, network: Network, std: float, mean: Tensor, space: Any, sigmas: float) -> None:
    """The log evidence is that of the closed form, within what it says of itself."""
    value, _, effort = effort_of(factor, network, mean, space)
    assert isinstance(factor.operator, Operator)
    expected = truth(network, factor.operator, std, factor.y, mean)
    doubt = torch.as_tensor(0.0 if effort.doubt is None else effort.doubt)
    off = (value - expected).abs()
    assert (off <= sigmas * doubt + 1e-3).all(), f"off by {off.tolist()}, stated {doubt.tolist()}"


OPERATORS: dict[str, Operator] = {"sensors": sensors(100), "blur": Blur.gaussian(1.0), "blocks": Downsample(2)}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("depth", [0.0, 0.3])
def test_the_evidence_of_a_network_is_whole(name: str, depth: float) -> None:
    network, mean = Network(depth), states(2)
    y = OPERATORS[name](states(1))[0]
    for space in (Believing(SHAPE, believed=network.believed()), PLAIN):
        factor = Measurement(y, OPERATORS[name], 0.3, direct=10, tolerance=1e-6, iterations=400)
        assert_whole(factor, network, 0.3, mean, space, 3.0)


def test_that_rejects_a_determinant_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    network, mean = Network(0.3), states(2)
    space = Believing(SHAPE, believed=network.believed())
    factor = Measurement(OPERATORS["sensors"](states(1))[0], OPERATORS["sensors"], 0.3, direct=10, tolerance=1e-6)

    def without(self: Any, residual: Tensor, steps: int) -> Any:
        none = residual.new_zeros(len(residual))
        return solves.Determinant(none, none + 1.0)

    assert_whole(factor, network, 0.3, mean, space, 3.0)
    monkeypatch.setattr(solves.Remaining, "_determinant", without)
    rejected(assert_whole, factor, network, 0.3, mean, space, 3.0)


def test_where_the_belief_alone_counts_no_determinant_is_asked_for() -> None:
    network, mean = Network(0.3), states(2)
    space = Believing(SHAPE, believed=network.believed())
    factor = Measurement(OPERATORS["sensors"](states(1))[0], OPERATORS["sensors"], 0.3, direct=10)
    (_, one, plain), (_, other, whole) = (effort_of(factor, network, mean, space, valued) for valued in (False, True))
    assert one.mean.equal(other.mean)
    assert plain.doubt is None
    assert plain.gradients < whole.gradients <= plain.gradients + 2 * max(plain.gradients, 5)


@dataclass(frozen=True)
class Quiet(Denoiser):
    """A Gaussian field that knows only its mean, so that its covariance takes gradients."""

    network: Network

    def __post_init__(self) -> None:
        carry(self, Traits(Believing(SHAPE, believed=self.network.believed())))

    def __call__(self, x_t: Any, t: Any, condition: Condition | None = None) -> Normal:
        space: Any = self.space
        alpha, sigma = space.schedule.alpha(t).item(), space.schedule.sigma(t).item()
        gain = (
            alpha
            * self.network.matrix
            @ torch.linalg.inv(alpha**2 * self.network.matrix + sigma**2 * torch.eye(256, dtype=F64))
        )
        return Normal((x_t.reshape(-1, 256).double() @ gain.T).reshape(x_t.shape).to(x_t))


def test_kernels_ask_for_values_only_where_they_weigh() -> None:
    factor = Measurement(OPERATORS["sensors"](states(1))[0], OPERATORS["sensors"], 0.3, direct=10)
    denoiser = Quiet(Network(0.2)) & factor
    with torch.no_grad():
        plain, weighed = (
            Sampler(uniform(2), (kernel,)).end(denoiser, Keys.of(0, 3)) for kernel in (Predictor(0.0, 1), Particles())
        )
    assert plain.effort is not None
    assert plain.effort.doubt is None
    assert weighed.effort is not None
    assert weighed.effort.doubt is not None


# Preconditioners --------------------------------------------------------------------------------------


class Coils(Operator):
    """An image of two channels, real and imaginary, by coils: some rows of the frequencies of each."""

    def __init__(self, coils: int, share: float) -> None:
        at = torch.linspace(-1, 1, 16, dtype=F64)
        turns = torch.arange(coils, dtype=F64) * 2 * torch.pi / coils
        distance = (at[:, None] - turns.cos()[:, None, None]) ** 2 + (at - turns.sin()[:, None, None]) ** 2
        maps = torch.polar((-distance).exp(), 2 * at[:, None] * turns.cos()[:, None, None] + 0 * at)
        self.maps = maps / maps.abs().square().sum(0).sqrt()
        self.rows = Keys.of(1, 1).uniform(16)[0] < share
        self.rows[0] = True

    def __call__(self, x: Tensor) -> Tensor:
        image = torch.view_as_complex(x.movedim(1, -1).contiguous())
        waves = torch.fft.fft2(self.maps.to(image) * image[:, None], norm="ortho")
        return torch.view_as_real(waves[:, :, self.rows])

    def adjoint(self, y: Tensor) -> Tensor:
        seen = torch.view_as_complex(y.contiguous())
        waves = seen.new_zeros(len(y), len(self.maps), 16, 16)
        waves[:, :, self.rows] = seen
        image = (self.maps.conj().to(seen) * torch.fft.ifft2(waves, norm="ortho")).sum(1)
        return torch.view_as_real(image).movedim(-1, 1)


def iterations(network: Network, operator: Operator, std: float, believed: Any, shape: tuple[int, ...]) -> int:
    """Products with the network's covariance."""
    mean, space = states(2, shape), Believing(shape, believed=believed)
    y = operator(Keys.of(5, 1).normal(*shape))[0]
    options: dict[str, Any] = {} if believed is not None else {"preconditioner": None}
    factor = Measurement(y, operator, std, direct=10, iterations=400, **options)
    _, _, effort = effort_of(factor, network, mean, space, valued=False)
    assert (effort.capped == 0).all()
    return effort.gradients


PROBLEMS: dict[str, tuple[Operator, float, tuple[int, ...], float]] = {
    "sensors": (sensors(100), 0.03, SHAPE, 0.6),
    "blur": (Blur.gaussian(1.5), 0.03, SHAPE, 0.3),
    "coils": (Coils(4, 0.4), 0.03, (2, *SHAPE), 0.6),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_gaussian_prior_spares_products_with_the_network(name: str) -> None:
    operator, std, shape, share = PROBLEMS[name]
    network = Network(0.2, shape)
    believed = network.believed(shape)
    plain, helped = (iterations(network, operator, std, one, shape) for one in (None, believed))
    print(f"{name}: {plain} products, preconditioned {helped}")
    assert helped < share * plain


def test_each_problem_has_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditioners, "FORMED", 60)
    pair = Spectral.of(STEEP.variance.expand(2, *SHAPE), periodic())
    for operator, cov, shape, kind in (
        (Mask(torch.ones(SHAPE)), Spectral.of(torch.ones(SHAPE)), SHAPE, Scaled),
        (sensors(50), STEEP, SHAPE, Factored),
        (Coils(8, 0.4), pair, (2, *SHAPE), Inner),
    ):
        event = states(2, shape)
        like = operator(event)
        found = gaussian(operator, cov, event, like)
        assert isinstance(found, kind)
        assert_close(found.exactly(found.system(like)), like, 1e-2 if kind is Inner else 1e-9)


# The user's own ---------------------------------------------------------------------------------------

SEEN, STD = sensors(80), 0.2


def own(preconditioner: Any, network: Network | None = None, y: Tensor | None = None) -> Any:
    y = SEEN(states(1))[0] if y is None else y
    factor = Measurement(y, SEEN, STD, direct=10, tolerance=1e-8, iterations=300, preconditioner=preconditioner)
    return effort_of(factor, network or Network(0.2), states(2), PLAIN, valued=False)


def test_the_users_preconditioner_is_in_the_units_of_y_and_knows_the_time() -> None:
    network, times = Network(0.2), []
    rows = SEEN(torch.eye(256, dtype=F64).reshape(256, *SHAPE))
    inverse = (rows.T @ network.matrix @ rows + STD**2 * torch.eye(80, dtype=F64)).inverse()

    def exact(residual: Tensor, t: float) -> Tensor:
        times.append(t)
        return residual @ inverse

    (_, plain, many), (_, found, few) = own(None), own(exact)
    assert_close(found.mean, plain.mean, 1e-6)
    assert few.gradients <= 4 < many.gradients
    assert set(times) == {0.5}
    lacking = SEEN(states(1))[0]
    lacking[3] = nan
    assert_close(own(exact, y=lacking)[1].mean, own(None, y=lacking)[1].mean, 1e-6)


def test_it_may_be_that_of_one_of_several() -> None:
    network, mean = Network(0.2), states(2)
    first = Measurement(SEEN(states(1))[0], SEEN, STD, direct=10, tolerance=1e-8, iterations=300)
    second = Measurement(torch.zeros(8, 8).double(), Downsample(2), 0.3, direct=10, tolerance=1e-8, iterations=300)
    helped = replace(first, preconditioner=lambda r, t: r / (STD**2 + 1.0))
    (_, plain), (_, found) = (update([one, second], Normal(mean, network), mean, 0.5, PLAIN) for one in (first, helped))
    assert_close(found.mean, plain.mean, 1e-6)


@pytest.mark.parametrize(
    ("preconditioner", "sentence"),
    [
        (lambda r, t: -r, "the preconditioner is not positive"),
        (
            lambda r, t: r[:, :4],
            r"Measurement of Mask: the preconditioner gives .*\(2, 4\), expected real numbers \(2, 80\)",
        ),
        (lambda r, t: [r], "Measurement of Mask: the preconditioner gives a list"),
        (lambda r: r, "Measurement of Mask raised TypeError: .*takes 1 positional argument"),
        (lambda r, t: r @ r, "Measurement of Mask raised RuntimeError"),
        ("jacobi", """preconditioner is 'jacobi', expected "gaussian", None, or a function"""),
    ],
)
def test_what_is_no_preconditioner_is_named(preconditioner: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        own(preconditioner)


def test_probes_are_a_number() -> None:
    with pytest.raises(InputError, match="probes is 0, expected a whole number of at least 1"):
        Measurement([0.0], SEEN, 0.1, probes=0)


def test_single_precision_is_enough() -> None:
    network, mean = Network(0.2), states(2)
    y = SEEN(states(1))[0]
    space = Believing(SHAPE, believed=network.believed())
    factor = Measurement(y.float(), SEEN, STD, direct=10)
    value, belief, effort = effort_of(factor, network, mean.float(), space)
    exact, expected, _ = effort_of(replace(factor, y=y, tolerance=1e-8), network, mean, space)
    assert belief.mean.dtype == torch.float32
    assert_close(belief.mean.double(), expected.mean, 5e-3)
    assert ((value - exact).abs() < 0.1).all()
    assert (effort.capped == 0).all()


def test_the_residual_and_the_doubt_are_in_the_record() -> None:
    both = Effort(residual=torch.tensor([0.1, 0.2]), doubt=torch.tensor([0.3, 0.3])) + Effort(
        residual=torch.tensor([0.2, 0.1]), doubt=torch.tensor([0.2, 0.01])
    )
    assert torch.as_tensor(both.residual).tolist() == pytest.approx([0.2, 0.2])
    assert torch.as_tensor(both.doubt).tolist() == pytest.approx([0.2, 0.01])  # the last counts
    assert "estimated, to ± 0.2 nats: raise `probes`" in both.notes[0]
    assert (both + Effort(1)).notes == both.notes
    assert (both + Effort(doubt=torch.tensor([0.01]))).notes == ()
