"""A x = b holds to round-off at every step of every sampler, and what is left follows the exact law."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal, Probs
from ornstein.covariances import Dense
from ornstein.denoisers.base import Condition, Denoiser, Traits, carry
from ornstein.denoisers.oracles import GaussianComponents, Mixture
from ornstein.errors import InputError
from ornstein.guidance.constraints import Bounded, Constraint, Outflow, boundary, divergence, flux, mean, total
from ornstein.guidance.factors import Energy, Factor
from ornstein.guidance.interval import Interval
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Downsample, Fourier, Mask, Matrix, Operator, linear
from ornstein.guidance.projections import projection
from ornstein.keys import Keys
from ornstein.mcmc.targets import Boltzmann, target_of
from ornstein.sampling.grids import log_snr, uniform
from ornstein.sampling.kernels import Heun, Predictor, Restart
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.schedules import Cosine
from ornstein.spaces import Categorical, Centered, Euclidean
from ornstein.spectral.roots import Downdated, Spectral, power_law
from ornstein.spectral.transforms import periodic
from ornstein.states import State, Time
from worlds import MeanOnly, assert_close, assert_moments, coupled, double, rejected

SIZE = 6
ROWS = Keys.of(2, 2).normal(SIZE)
GOAL = double([0.7, -0.4])
TWO = Constraint(Matrix(ROWS), GOAL)


def world(components: int = 1) -> Mixture:
    """Correlated Gaussians in six dimensions."""
    means, roots = Keys.of(4, components).normal(SIZE), Keys.of(5, components).normal(SIZE, SIZE)
    covs = roots @ roots.mT / SIZE + 0.1 * torch.eye(SIZE)
    return Mixture(torch.ones(components).double() / components, GaussianComponents.of(Euclidean((SIZE,)), means, covs))


def law() -> tuple[Tensor, Tensor]:
    """Mean and covariance of the one Gaussian."""
    parts: Any = world().components
    return parts.means[0], parts.axes[0] @ torch.diag(parts.variances[0]) @ parts.axes[0].T


def given() -> tuple[Tensor, Tensor]:
    """Of it, given A x = b, in closed form."""
    center, cov = law()
    gain = cov @ ROWS.T @ (ROWS @ cov @ ROWS.T).inverse()
    return center + gain @ (GOAL - ROWS @ center), cov - gain @ ROWS @ cov


def missed(operator: Operator, x: Tensor, b: Tensor) -> float:
    """|A x − b| over the scale of b and x, the rows of A being of length 1."""
    lengths = projection(operator, x).lengths
    goal = b.double() / lengths
    x = x.detach()
    scale = max(float(goal.abs().max()), float(x.abs().max()))
    return float((operator(x.double()) / lengths - goal).abs().max()) / scale


def assert_held(
    guided: Denoiser, sampler: Sampler, operator: Operator, b: Tensor, like: Tensor, **given: Any
) -> Tensor:
    """At every step, in the mean of the belief and after extrapolation, and in the samples at last."""
    tolerance = 1e-12 if like.dtype == torch.float64 else 1e-5
    state = None
    for state in sampler.steps(guided, Keys.of(0, len(like)), given or None, start=like):
        means = [belief.mean for _, belief in state.past]
        if len(state.past) > 1:
            means.append(state.space.average(state.past, state.past[-1][0], state.t).mean)
        for one in means:
            assert one.dtype == like.dtype
            assert missed(operator, one, b) <= tolerance
    assert state is not None
    assert missed(operator, state.x, b) <= tolerance
    return state.x


SOLVERS = {
    "DDIM": (Predictor(0.0),),
    "2M": (Predictor(0.0, 2),),
    "3M": (Predictor(0.0, 3),),
    "corrected": (Predictor(0.0, 2, correct=True),),
    "Heun": (Heun(),),
    "SDE": (Predictor(1.0),),
    "SDE-2M": (Predictor(1.0, 2),),
    "Restart": (Predictor(0.0), Restart()),
    "particles": (Particles(),),
    "tempered": (Particles(temper=1.0),),
}
WRAPS = {"exact covariance": lambda world: world, "Tweedie": MeanOnly}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", SOLVERS)
def test_equations_hold_at_every_step(name: str, wrap: str, dtype: torch.dtype) -> None:
    guided: Any = WRAPS[wrap](world(2)) & TWO
    like = Keys.of(7, 5).normal(SIZE).to(dtype)
    grid = log_snr(6, guided.space) if name != "Heun" else uniform(5)
    assert_held(guided, Sampler(grid, SOLVERS[name]), Matrix(ROWS), GOAL, like)


def test_the_test_rejects_a_narrow_measurement() -> None:
    near = world(2) & Measurement(GOAL, Matrix(ROWS), 1e-3)
    like = Keys.of(7, 5).normal(SIZE)
    rejected(assert_held, near, Sampler(uniform(5), (Predictor(0.0, 2),)), Matrix(ROWS), GOAL, like)


class Projected(Constraint):
    """A broken twin: the nearest state, without the belief's covariance."""

    def _conditioned(self, belief: Any, place: Any = None) -> Any:
        return self.log_expect(belief), belief

    def log_expect(self, belief: Any) -> Any:
        return torch.zeros(len(belief.mean)).double()


def assert_follows_the_law(factor: Factor, kernel: Any = None) -> None:
    guided = world() & factor
    sampler = Sampler(log_snr(20, guided.space), (kernel or Predictor(0.0, 2),))
    x = sampler.run(guided, Keys.of(0, 2000), start=Keys.of(1, 2000).normal(SIZE))
    assert missed(Matrix(ROWS), x, GOAL) <= 1e-12
    center, cov = given()
    free = torch.linalg.svd(ROWS).Vh[2:]  # along the rows there is nothing left to test
    assert_moments(x @ free.T, free @ center, free @ cov @ free.T)


@pytest.mark.parametrize("kernel", [Predictor(0.0, 2), Particles()], ids=["2M", "particles"])
def test_the_rest_follows_the_law_given_the_equations(kernel: Any) -> None:
    assert_follows_the_law(TWO, kernel)


def test_the_orthogonal_projection_alone_has_another_law() -> None:
    rejected(assert_follows_the_law, Projected(Matrix(ROWS), GOAL))


def test_the_broken_twin_is_right_but_for_the_law() -> None:
    """What rejects it is the law: its samples fulfil the equations."""
    like = Keys.of(7, 5).normal(SIZE)
    assert_held(
        world() & Projected(Matrix(ROWS), GOAL), Sampler(uniform(5), (Predictor(0.0),)), Matrix(ROWS), GOAL, like
    )


# One belief ------------------------------------------------------------------------------------------

CENTER = Keys.of(8, 4).normal(SIZE)


def belief(kind: str = "matrix", dtype: torch.dtype = torch.float64) -> Normal:
    cov = Dense(law()[1].to(dtype).expand(4, SIZE, SIZE))
    return Normal(CENTER.to(dtype), cov if kind == "matrix" else lambda v: cov(v))


def matrix_of(cov: Any, shape: tuple[int, ...] = (SIZE,), n: int = 4) -> Tensor:
    """A covariance of the first sample, a column a basis vector."""
    basis = torch.eye(torch.Size(shape).numel(), dtype=torch.float64).reshape(-1, 1, *shape)
    return torch.stack([cov(e.expand(n, *shape).contiguous())[0].flatten() for e in basis], 1)


def assert_given(factor: Factor, rows: Tensor, b: Tensor, kind: str, tolerance: float = 1e-5) -> Normal:
    """Gauss's posterior at no noise; b: (1 or 4, m)."""
    _, found = factor.update(belief(kind), CENTER, 0.5, Euclidean((SIZE,)))
    cov = law()[1]
    gain = cov @ rows.T @ torch.linalg.pinv(rows @ cov @ rows.T)
    assert_close(found.mean, CENTER + (b - CENTER @ rows.T) @ gain.T, tolerance)
    assert_close(matrix_of(found.cov), cov - gain @ rows @ cov, tolerance)
    assert (found.mean @ rows.T - b).abs().max() < 1e-13
    return found


@pytest.mark.parametrize("kind", ["matrix", "map"])
def test_a_belief_given_equations_is_gauss(kind: str) -> None:
    found = assert_given(TWO, ROWS, GOAL[None], kind)
    assert isinstance(found.cov, Dense) == (kind == "matrix")
    assert (ROWS @ matrix_of(found.cov)).abs().max() < 1e-14


def test_each_sample_may_have_its_own_right_side() -> None:
    b = Keys.of(9, 4).normal(2)
    factor = Constraint(Matrix(ROWS), b)
    assert_given(factor, ROWS, b, "matrix")
    assert not factor.shared(CENTER[:1])
    assert TWO.shared(CENTER[:1])
    guided = world() & factor
    assert_held(guided, Sampler(uniform(4), (Predictor(0.0, 2),)), Matrix(ROWS), b, Keys.of(7, 4).normal(SIZE))


def test_the_right_side_may_be_a_condition() -> None:
    b, like = Keys.of(9, 4).normal(2), Keys.of(7, 4).normal(SIZE)
    guided = world() & Constraint(Matrix(ROWS), "goal")
    assert_held(guided, Sampler(uniform(4), (Predictor(0.0, 2),)), Matrix(ROWS), b, like, goal=b)
    with pytest.raises(InputError, match=r"b is the condition 'goal': pass condition=\{'goal': ...\}"):
        guided(like, 0.5)
    with pytest.raises(InputError, match=r"b has the shape \(4, 3\), its operator gives \(2,\)"):
        guided(like, 0.5, {"goal": torch.zeros(4, 3)})
    with pytest.raises(InputError, match=r"element \(1, 0\) is nan"):
        guided(like, 0.5, {"goal": torch.full((4, 2), torch.nan).index_fill(0, torch.tensor([0]), 0.0)})


def test_rows_may_depend_on_one_another() -> None:
    rows, b = (
        torch.cat([ROWS, ROWS.sum(0, keepdim=True), 0 * ROWS[:1]]),
        torch.cat([GOAL, GOAL.sum(0, True), GOAL[:1] * 0]),
    )
    assert_given(Constraint(Matrix(rows), b), rows, b[None], "matrix")
    assert_given(Constraint(Matrix(rows), b), rows, b[None], "map")


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_scale_of_an_equation_does_not_matter(scale: float) -> None:
    _, one = TWO.update(belief(), CENTER, 0.5, Euclidean((SIZE,)))
    scaled = torch.tensor([[scale], [1.0]])
    _, other = Constraint(Matrix(scaled * ROWS), scaled[:, 0] * GOAL).update(belief(), CENTER, 0.5, Euclidean((SIZE,)))
    assert_close(one.mean, other.mean, 1e-9)


def test_the_evidence_is_the_density_of_the_right_side() -> None:
    slack = 0.1
    found = Constraint(Matrix(ROWS), GOAL, slack).log_expect(belief())
    spread = ROWS @ law()[1] @ ROWS.T + torch.diag((slack * ROWS.norm(dim=1)) ** 2)
    expected = torch.distributions.MultivariateNormal(CENTER @ ROWS.T, spread).log_prob(GOAL)
    assert_close(found, expected, 1e-9)


def test_a_mask_is_what_is_fixed() -> None:
    where = torch.tensor([True, False, True, False, False, True])
    value = Keys.of(10, 1).normal(SIZE)[0].float()
    space = Euclidean((SIZE,))
    for kind in ("matrix", "map"):
        (a, fixed), (b, held) = (
            factor.update(belief(kind), CENTER, 0.5, space)
            for factor in (Fixed(value, where), Constraint(Mask(where), value[where]))
        )
        assert a.equal(b)
        assert fixed.mean.equal(held.mean)
        assert matrix_of(fixed.cov).equal(matrix_of(held.cov))
        assert (held.mean[:, where] == value[where]).all()


PLACES = Keys.of(11, 3).uniform(3) < 0.5
OF_FIRST, OF_LAST = Mask(PLACES), Mask(PLACES, last=True)


@pytest.mark.parametrize(
    "mask", [OF_FIRST, OF_LAST, Mask(PLACES[None], last=True, per_sample=True)], ids=["first", "last", "one sample's"]
)
def test_a_mask_is_of_the_first_axes_or_of_the_last(mask: Mask) -> None:
    """To the last bit, and nothing else moves; the mask of the other end of the event is the broken twin."""
    x, goal = Keys.of(12, 2).normal(3, 3, 3), mask(Keys.of(13, 1).normal(3, 3, 3))

    def assert_projected(other: Mask) -> None:
        held = projection(other, x).onto(x, goal)
        assert mask(held).equal(goal.expand_as(mask(held)))
        assert mask.adjoint(mask(held - x)).equal(held - x)

    assert_projected(mask)
    rejected(assert_projected, OF_LAST if mask is OF_FIRST else OF_FIRST)


ROW, SEEN = Keys.of(12, 1).normal(SIZE), double([0.3])
WHERE = torch.tensor([False, False, False, False, False, True])


@pytest.mark.parametrize("wrap", WRAPS)
def test_equations_hold_together_beside_a_measurement_and_a_push(wrap: str) -> None:
    """What is fixed, what is linear and what is weighed; what comes later does not move what is exact."""
    base: Any = WRAPS[wrap](world(2))
    measured = Measurement(SEEN, Matrix(ROW), 0.2)
    push = Energy(lambda x: 3 * x[:, 0].cosh())
    fixed = Fixed(torch.full((SIZE,), 0.25), WHERE)
    operator, like = Matrix(torch.cat([ROWS, torch.eye(SIZE)[-1:]])), Keys.of(7, 5).normal(SIZE)
    b = torch.cat([GOAL, double([0.25])])
    for kernels in ((Predictor(0.0, 3),), (Particles(),)):
        assert_held(base & push & measured & TWO & fixed, Sampler(uniform(4), kernels), operator, b, like)


@pytest.mark.parametrize("kind", ["matrix", "map"])
def test_equations_and_a_measurement_are_one_posterior(kind: str) -> None:
    guided = [TWO, Measurement(SEEN, Matrix(ROW), 0.2)]
    given = belief(kind)
    for factor in guided:
        _, given = factor.update(given, CENTER, 0.5, Euclidean((SIZE,)))
    rows, noise = torch.cat([ROWS, ROW]), torch.diag(double([0.0, 0.0, 0.04]))
    cov = law()[1]
    gain = cov @ rows.T @ (rows @ cov @ rows.T + noise).inverse()
    assert_close(given.mean, CENTER + (torch.cat([GOAL, SEEN]) - CENTER @ rows.T) @ gain.T, 1e-5)
    assert_close(matrix_of(given.cov), cov - gain @ rows @ cov, 1e-5)


def test_many_equations_are_one_solve_with_a_measurement() -> None:
    """Or else each product of the measurement with the covariance would be a solve of the equations."""
    seen = Measurement(torch.zeros(3), Matrix(torch.ones(3, 32), (2, 4, 4)), 0.1)
    assert divergence().merged(seen) is not None
    assert mean(0.0, (2, 4, 4)).merged(seen) is None
    assert mean(0.0, (2, 4, 4)).merged(divergence()) is not None


@pytest.mark.parametrize("until", [0.4, 1.0])
def test_an_equation_that_counts_late_holds_at_last(until: float) -> None:
    late = world() & Interval(TWO, until) & Energy(lambda x: x[:, 0].square())
    for kernel in (Predictor(0.0, 2), Particles()):
        x = Sampler(uniform(5), (kernel,)).run(late, Keys.of(0, 8), start=Keys.of(7, 8).normal(SIZE))
        assert missed(Matrix(ROWS), x, GOAL) <= 1e-12
    early = late(Keys.of(7, 8).normal(SIZE), 0.9).mean
    assert (missed(Matrix(ROWS), early, GOAL) > 1e-3) == (until < 0.9)


def test_what_contradicts_itself_is_named_with_the_gap() -> None:
    rows = torch.cat([ROWS, ROWS[:1]])
    with pytest.raises(InputError, match=r"contradicts itself.* misses element \(\d,\) of b, .*, by 0\.05"):
        _ = world() & Constraint(Matrix(rows), torch.cat([GOAL, GOAL[:1] + 0.1]))
    twice = world() & Fixed(torch.ones(SIZE), WHERE) & Constraint(Matrix(torch.eye(SIZE)[-1:]), [2.0])
    with pytest.raises(InputError, match="Fixed with Constraint of Matrix contradicts itself"):
        twice(CENTER, 0.5)
    with pytest.raises(InputError, match="in sample 2"):
        _ = world() & Constraint(Matrix(rows), torch.stack([torch.cat([GOAL, GOAL[:1] + k // 2]) for k in range(3)]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constraint(Matrix(ROWS), GOAL * torch.nan), r"Constraint of Matrix: b: element \(0,\) is nan"),
        (lambda: Constraint(Matrix(ROWS), GOAL, slack=0.0), "slack is 0.0, expected a positive width"),
        (lambda: world() & Constraint(Matrix(ROWS), GOAL[:1].repeat(3)), r"b has the shape \(3,\), .* gives \(2,\)"),
        (lambda: world() & Constraint(Matrix(ROWS[:, :5]), GOAL), r"does not act on events of shape \(6,\)"),
        (lambda: coupled() & TWO, r"of continuous data, not of Product: see \.on\(name\)"),
        (lambda: boundary(torch.ones(3), (1, 8, 8)), r"boundary: values has the shape \(3,\), expected \(1, 8, 8\)"),
        (lambda: boundary(0.0, (8, 8), axes=(2,)), "there is no axis 2"),
        (lambda: boundary(torch.full((8, 8), torch.nan), (8, 8)), "boundary: values: element"),
        (lambda: mean(0.0, (3, 8, 8), weights=-torch.ones(8, 8)), "mean: weights are negative"),
        (lambda: mean(0.0, (3, 8, 8), weights=torch.ones(7)), r"mean: weights has the shape \(7,\)"),
        (lambda: flux(1.0, torch.zeros(2, 4, 4)), "with some area each"),
        (lambda: divergence(borders="closed"), "borders is 'closed', expected one of periodic, open"),
        (lambda: divergence(spacing=(1.0, 0.0)), "expected positive distances"),
        (
            lambda: divergence(borders=("open",) * 3),
            "Outflow: borders has 3 entries, .* one for each of 2",
        ),
        (lambda: Outflow()(torch.zeros(1, 3, 8, 8)), "a component an axis before them"),
        (lambda: Bounded(), "neither low nor high is given"),
        (lambda: Bounded(1.0, 0.5), "low is 1 and high 0.5, expected low < high"),
        (lambda: Bounded(0.0, slack=-1.0), "slack is -1.0"),
        (lambda: Bounded(torch.nan), "is nan, expected a limit that can be met"),
        (lambda: world() & Bounded(torch.zeros(3)), r"low has the shape \(3,\), expected that of \(6,\)"),
    ],
)
def test_what_is_wrong_is_named(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_categories_are_refused() -> None:
    with pytest.raises(InputError, match="of continuous data"):
        TWO.log_expect(Probs(torch.zeros(1, SIZE, 2)))
    with pytest.raises(InputError, match="not of Categorical"):
        TWO.require_fit(Categorical.masked((SIZE,), 2))


def test_a_part_of_a_product_is_held() -> None:
    line = Constraint(Matrix([[1.0, 2.0]]), [0.4]).on("x")
    for kernel in (Predictor(0.0, 2), Predictor(1.0), Particles()):
        x = Sampler(uniform(5), (kernel,)).run(coupled() & line, Keys.of(0, 20))["x"].double()
        assert (x @ double([1.0, 2.0]) - 0.4).abs().max() < 1e-6


# Degrees of freedom ------------------------------------------------------------------------------------


def test_equations_hold_within_the_degrees_of_freedom() -> None:
    """Of centred points, the way from one to another, and where one is; not where all are."""
    space, x = Centered((4, 2)), Keys.of(13, 3).normal(4, 2)
    apart = Matrix([[1.0, 0, -1, 0, 0, 0, 0, 0]], (4, 2))
    there = Matrix([[1.0, 0, 0, 0, 0, 0, 0, 0]], (4, 2))
    for operator in (apart, there):
        held = Constraint(operator, [1.5]).held(space.project(x), space)
        assert (operator(held) - 1.5).abs().max() < 1e-13
        assert_close(space.project(held), held, 1e-13)
    with pytest.raises(InputError, match="contradicts itself"):
        Constraint(Matrix(torch.ones(1, 8), (4, 2)), [1.0]).held(space.project(x), space)


def test_equations_hold_under_a_mask() -> None:
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    space, total = Euclidean((4,)).with_mask(mask), Matrix(torch.ones(1, 4))
    x = space.project(Keys.of(14, 2).normal(4))
    held = Constraint(total, [2.0]).held(x, space)
    assert held[0, 3] == 0
    assert (total(held) - 2).abs().max() < 1e-13
    assert_close(held[0, :3], x[0, :3] + (2 - x[0].sum()) / 3, 1e-13)


# Fields ----------------------------------------------------------------------------------------------

SIDE = 8


@dataclass(frozen=True, eq=False, repr=False)
class RandomField(Denoiser):
    """The exact denoiser of a Gaussian random field whose covariance is diagonal in waves."""

    cov: Spectral

    def __post_init__(self) -> None:
        carry(self, Traits(Euclidean(self.cov.shape, Cosine())))

    def __call__(self, x_t: State, t: Time, condition: Condition | None = None) -> Normal:
        assert isinstance(x_t, Tensor)
        alpha, sigma = (level(torch.as_tensor(t)) for level in (Cosine().alpha, Cosine().sigma))
        shrink = Spectral(self.cov.basis, self.cov.variance / (alpha**2 * self.cov.variance + sigma**2))
        return Normal(alpha * shrink(x_t), shrink * sigma**2)


FIELD = RandomField(power_law((SIDE, SIDE), 3, periodic()))
RIM: Any = boundary(Keys.of(15, 1).normal(SIDE, SIDE)[0], (SIDE, SIDE))


def test_a_covariance_with_a_root_keeps_one() -> None:
    """It is the conditional covariance, whose draws stay within the equations."""
    before = FIELD.cov
    like = Keys.of(16, 3).normal(SIDE, SIDE)
    _, found = RIM.update(Normal(like, before), like, 0.5, FIELD.space)
    assert isinstance(found.cov, Downdated)
    prior = matrix_of(before, (SIDE, SIDE), 3)
    rows = torch.eye(SIDE**2).double()[RIM.operator.seen.flatten()]
    gain = prior @ rows.T @ (rows @ prior @ rows.T).inverse()
    kriged = like.flatten(1) + (RIM.b.double() - RIM.operator(like)) @ gain.T
    assert_close(found.mean.flatten(1), kriged, 1e-4)
    assert_close(matrix_of(found.cov, (SIDE, SIDE), 3), prior - gain @ rows @ prior, 1e-5)
    drawn = found.cov.root(like)
    assert RIM.operator(drawn).abs().max() < 1e-12
    assert drawn.abs().max() > 0.1
    wide = matrix_of(found.cov.root, (SIDE, SIDE), 3)
    assert_close(wide @ wide.T, matrix_of(found.cov, (SIDE, SIDE), 3), 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["2M", "SDE", "particles"])
def test_a_random_field_takes_its_boundary_values(name: str, dtype: torch.dtype) -> None:
    world = RandomField(power_law((32, 32), 3, periodic()))
    values = world.cov.root(Keys.of(17, 1).normal(32, 32))[0]
    rim: Any = boundary(values, (32, 32))
    like = Keys.of(18, 2).normal(32, 32).to(dtype)
    x = assert_held(world & rim, Sampler(uniform(3), SOLVERS[name]), rim.operator, rim.b, like)
    assert (rim.operator(x) == rim.b.to(x)).all()


def test_a_flow_without_sources_and_with_walls() -> None:
    """Its equations are many and depend on one another: those of the walls and those of the cells."""
    shape = (2, 36, 36)
    open_ = divergence(borders="open")
    walls: list[Any] = [boundary(0.0, shape, axes=(axis,)) for axis in (-2, -1)]
    still = Constraint(Mask(torch.stack([one.operator.seen[k] for k, one in enumerate(walls)])), 0.0)
    space, like = Euclidean(shape), Keys.of(19, 2).normal(*shape)
    both = still.merged(open_)
    assert both is not None
    held = both.held(like, space)
    assert open_.operator(held).abs().max() < 1e-12
    assert still.operator(held).abs().max() < 1e-13
    assert (held - like).abs().mean() > 0.1


BALANCES = {
    "periodic": (divergence(), (2, 16, 16)),
    "open": (divergence(borders="open", spacing=0.1), (2, 16, 12)),
    "channel": (divergence(borders=("periodic", "open"), spacing=(1.0, 0.5)), (2, 8, 16)),
    "in space": (divergence(axes=3), (3, 6, 6, 6)),
    "boundary": (boundary(0.3, (1, 16, 16), width=2), (1, 16, 16)),
    "one side": (boundary(0.3, (1, 16, 16), axes=(-1,)), (1, 16, 16)),
    "mean": (mean([0.1, 0.2, 0.3], (3, 16, 16), weights=torch.linspace(0.1, 1, 16)[:, None]), (3, 16, 16)),
    "total": (total(5.0, (16, 16)), (16, 16)),
    "flux": (flux([1.0, -1.0], [torch.eye(16).expand(2, 16, 16), torch.ones(2, 16, 16)]), (2, 16, 16)),
    "coarse": (Constraint(Downsample(4), torch.ones(1, 4, 4)), (1, 16, 16)),
    "frequencies": (Constraint(Fourier(), Fourier()(Keys.of(20, 1).normal(1, 8, 8))[0]), (1, 8, 8)),
    "complex": (Constraint(linear(lambda x: torch.fft.fft(x)[..., :2], (8,)), torch.tensor([1.0 + 0j, 2 - 1j])), (8,)),
}


@pytest.mark.parametrize("name", BALANCES)
def test_balances_of_fields_hold(name: str) -> None:
    factor, shape = BALANCES[name]
    space, like = Euclidean(shape), Keys.of(21, 3).normal(*shape)
    factor.require_fit(space)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        held = factor.held(like.to(dtype), space)
        assert held.dtype == dtype
        assert missed(factor.operator, held, factor.equation(like).b) <= tolerance
    within = projection(factor.operator, like, space).within
    assert_close(within(within(like)), within(like), 1e-10)
    assert_close((within(like) * like.flip(0)).sum(), (like * within(like.flip(0))).sum(), 1e-9)


def test_means_have_the_weights_of_areas() -> None:
    weights = torch.linspace(0.1, 1, 16)[:, None].double()
    held = BALANCES["mean"][0].held(Keys.of(21, 3).normal(3, 16, 16), Euclidean((3, 16, 16)))
    found = (held * weights).sum((-2, -1)) / (16 * weights.sum())
    assert_close(found, double([0.1, 0.2, 0.3]).expand(3, 3), 1e-12)


def test_sources_of_a_periodic_flow_must_add_up() -> None:
    source = Keys.of(22, 1).normal(8, 8)[0]
    space = Euclidean((2, 8, 8))
    with pytest.raises(InputError, match="Constraint of Outflow contradicts itself"):
        divergence(source).require_fit(space)
    divergence(source - source.mean()).require_fit(space)


@dataclass(eq=True)
class Counting(Operator):
    """An operator of a user's own, without a hash, that counts how often it is asked."""

    matrix: Any
    asked: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.asked += 1
        return x @ self.matrix.to(x).T

    def adjoint(self, y: Tensor) -> Tensor:
        self.asked += 1
        return y @ self.matrix.to(y)


def test_the_equations_are_decomposed_once() -> None:
    operator = Counting(ROWS)
    factor = Constraint(operator, GOAL)
    factor.held(CENTER, Euclidean((SIZE,)))
    before = operator.asked
    factor.held(CENTER, Euclidean((SIZE,)))
    assert operator.asked - before < 12


# Bounds ----------------------------------------------------------------------------------------------


def test_a_bound_is_a_wall_with_a_foot() -> None:
    x = torch.linspace(-1, 2, 7).double()[:, None]
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = normal.cdf(x / 0.2).log() + normal.cdf((1.0 - x) / 0.2).log()
    assert_close(Bounded(0.0, 1.0, slack=0.2).log_g(x), expected[:, 0], 1e-5)
    assert_close(Bounded(0.0, slack=0.2).tempered(0.5).log_g(x), normal.cdf(x / 0.2).log()[:, 0] / 2, 1e-5)
    only = Bounded(torch.tensor([0.0, -torch.inf]), slack=0.2).log_g(torch.tensor([[0.0, -9.0]]))
    assert_close(only, double([0.5]).log(), 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_wall_bends_as_it_must_far_out(dtype: torch.dtype) -> None:
    """The curvature of log Φ tends to −1/slack²; were it positive, guidance would jump."""
    x = torch.tensor([[0.3], [-2.0], [-2000.0], [9.0]], dtype=dtype, requires_grad=True)
    wall = Bounded(torch.tensor([0.5]), slack=0.01)
    (slope,) = torch.autograd.grad(wall.log_g(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    assert_close(bend[:, 0].double(), double([-9975.4, -9999.8, -1e4, 0.0]), 1e-4)
    assert_close(slope[:, 0].double(), double([2004.975, 25000.40, 20005000.0, 0.0]), 1e-5)
    (open_,) = torch.autograd.grad(Bounded(torch.tensor([-torch.inf]), 20.0).log_g(x).sum(), x)
    assert open_[0] == 0


@pytest.mark.parametrize(("low", "high"), [(0.5, None), (None, -1.5), (-0.3, 0.6), (2.0, 2.5)])
@pytest.mark.parametrize("slack", [1e-1, 1e-3])
def test_a_wall_before_one_number_is_exact(low: Any, high: Any, slack: float) -> None:
    """log E[g], the mean and the variance of a normal number between walls, by quadrature."""
    mean, std = double([[0.2], [1.7]]), 0.8
    wall = Bounded(low, high, slack=slack / 2)
    value, found = wall.update(Normal(mean, Dense(double([[[std**2]]]).expand(2, 1, 1))), mean, 0.5, Euclidean((1,)))
    x = torch.linspace(-6, 8, 200_001).double()[:, None]
    for k in range(2):
        weight = (wall.log_g(x) - 0.5 * ((x[:, 0] - mean[k]) / std) ** 2).exp()
        mass = weight.sum() * 14 / 200_000 / (std * (2 * torch.pi) ** 0.5)
        center = (weight * x[:, 0]).sum() / weight.sum()
        spread = (weight * (x[:, 0] - center) ** 2).sum() / weight.sum()
        assert_close(value[k], mass.log(), 1e-3)
        assert_close(found.mean[k, 0], center, 1e-3)
        assert_close(matrix_of(found.cov, (1,), 2)[0, 0] if k == 0 else spread, spread, 1e-3)


def test_some_elements_may_have_no_wall() -> None:
    low = torch.tensor([0.5, -torch.inf, 0.5, -torch.inf, -torch.inf, -torch.inf])
    high = torch.tensor([torch.inf, 0.2, 9.0, torch.inf, torch.inf, torch.inf])
    value, found = Bounded(low, high, slack=0.01).update(belief(), CENTER, 0.5, Euclidean((SIZE,)))
    assert value.isfinite().all()
    assert found.mean.isfinite().all()
    for limit, element in ((low, 0), (low, 2)):
        only = torch.full((SIZE,), -torch.inf).index_fill(0, torch.tensor([element]), limit[element].item())
        _, alone = Bounded(only, slack=0.01).update(belief(), CENTER, 0.5, Euclidean((SIZE,)))
        assert ((alone.mean - CENTER)[:, element] > 0).all()


@dataclass(frozen=True)
class Scaled:
    """field = 2 + 3 x, as a map."""

    affine = True
    operator = linear(lambda x: 3 * x, (SIZE,))

    def __call__(self, x: Tensor) -> Tensor:
        return 2 + 3 * x


@pytest.mark.parametrize("kind", ["matrix", "map"])
@pytest.mark.parametrize("high", [None, 5.0])
def test_walls_of_a_field_go_through_its_map(kind: str, high: Any) -> None:
    field = Bounded(0.5, high, slack=0.3).through(Scaled())
    own = Bounded(-0.5, None if high is None else 1.0, slack=0.1)
    space = Euclidean((SIZE,))
    (a, one), (b, other) = (factor.update(belief(kind), CENTER, 0.5, space) for factor in (field, own))
    assert_close(a, b, 1e-6)
    assert_close(one.mean, other.mean, 1e-6)
    assert_close(matrix_of(one.cov), matrix_of(other.cov), 1e-6)
    assert_close(field.log_expect(space.point_mass(CENTER)), own.log_g(CENTER), 1e-8)
    assert_close(
        field.tempered(0.5).update(belief(kind), CENTER, 0.5, space)[0], own.tempered(0.5).log_expect(belief()), 1e-5
    )


def test_walls_before_correlated_numbers_are_weighed_by_particles() -> None:
    """Against draws of the world that happen to lie between them."""
    wall = Bounded(torch.full((SIZE,), -0.6), slack=0.01)
    whole = world()
    drawn = whole.draw(Keys.of(30, 100_000))
    kept = drawn[(drawn > -0.6).all(1)].double()
    guided = whole & wall
    state = Sampler(log_snr(20, guided.space), (Particles(),)).end(guided, Keys.of(0, 1500))
    report = state.population.exactness()
    assert min(report.ess) > 0.3
    assert abs(report.log_evidence - torch.tensor(len(kept) / len(drawn)).log()) < 5 * report.error + 0.05
    assert_close(state.x.mean(0).double(), kept.mean(0), 0.12)
    assert wall.violations(state.x, by=3).mean() < 0.001


TENS = RandomField(power_law((10, 10), 3, periodic()))


@cache
def mean_above() -> float:
    """Of the draws of the field that happen to lie above −0.5 everywhere."""
    drawn = TENS.cov.root(torch.randn(30_000, 10, 10, generator=torch.Generator().manual_seed(31)))
    return drawn[(drawn > -0.5).flatten(1).all(1)].mean().item()


def assert_above(factor: Factor, wrap: Any) -> None:
    """A random field of 100 numbers above −0.5, guided alone."""
    x = Sampler(log_snr(10, TENS.space), (Predictor(0.0, 2),)).run(wrap(TENS) & factor, Keys.of(0, 40)).detach()
    assert abs(x.mean().item() - mean_above()) < 0.3, f"{x.mean():.2f}, not {mean_above():.2f}"
    assert Bounded(-0.5, slack=0.05).violations(x, by=3).mean() < 0.001


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_field_before_a_wall_does_not_pile_up_at_it(wrap: str) -> None:
    assert_above(Bounded(-0.5, slack=0.05), WRAPS[wrap])
    rejected(assert_above, Energy(lambda x: -Bounded(-0.5, slack=0.05).log_g(x)), WRAPS[wrap])


def assert_truncated(factor: Factor) -> None:
    """A standard normal above 0.5, with particles: its mean is φ(0.5)/Φ(−0.5)."""
    single: Any = Mixture(
        torch.ones(1).double(),
        GaussianComponents.of(Euclidean((1,)), torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double()),
    )
    x = Sampler(log_snr(20, single.space), (Particles(),)).run(single & factor, Keys.of(0, 3000))
    assert abs(x.mean().item() - 1.1411) < 4 * 0.52 / 3000**0.5
    assert Bounded(0.5, slack=0.01).violations(x, by=3).mean() < 0.001


def test_particles_weigh_a_bound() -> None:
    assert_truncated(Bounded(0.5, slack=0.01))
    rejected(assert_truncated, Bounded(0.5, slack=0.5))


# Chains ----------------------------------------------------------------------------------------------


def test_markov_chains_do_not_leave_what_holds() -> None:
    bowl = Boltzmann(lambda x: x.square().sum(1))
    with pytest.raises(InputError, match="smooth log g, not Constraint"):
        target_of(world() & TWO)
    for guided in (world() & TWO & bowl, world() & bowl & TWO):
        with pytest.raises(InputError, match="Constraint does not hold"):
            target_of(guided)
