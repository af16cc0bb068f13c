"""What is known of the physical field is known of the model's states, whatever map lies between, sample by sample."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.covariances import Dense
from ornstein.denoisers.maps import Map
from ornstein.errors import InputError
from ornstein.guidance.classifiers import ClassifierGuidance, NoisyClassifierGuidance
from ornstein.guidance.constraints import Bounded, Constraint
from ornstein.guidance.factors import Energy, Factor, Reward, Smooth
from ornstein.guidance.interval import Interval
from ornstein.guidance.maps import Composed, Lifted, Log, Logit, Parts, Residual, Softplus, Standardised, Whitened
from ornstein.guidance.measurements import Fixed, Measurement, RigidMotif
from ornstein.guidance.operators import Mask, Matrix
from ornstein.guidance.projections import projection
from ornstein.keys import Keys
from ornstein.spaces import Centered, Euclidean
from ornstein.spectral.roots import Spectral
from ornstein.spectral.transforms import periodic
from ornstein.testing import check_map
from worlds import assert_close, coupled, double, rejected

N, SHAPE = 4, (2, 3)
SPACE = Euclidean(SHAPE)
KEYS = Keys.of(1, N)
COARSE, SCALE = 10 + KEYS.fold("coarse").normal(*SHAPE), Keys.of(5, 1).uniform(*SHAPE)[0] + 0.5
GIVEN = {"coarse": COARSE, "spread": KEYS.fold("spread").uniform(*SHAPE) + 0.5}
SPECTRUM = Spectral.of(Keys.of(6, 1).uniform(*SHAPE)[0] + 0.2, periodic(2))
INTERIOR = torch.tensor([[True, False, True, True], [True, True, True, False]])
EDGES = torch.where(INTERIOR, 0.3, double([[0, 2.0, 0, 0], [0, 0, 0, -1.0]]))

AFFINE: dict[str, Map] = {
    "by variable": Standardised(double([280.0, 5.0]), double([7.0, 0.4])),
    "a residual": Residual("coarse", SCALE),
    "each its own scale": Residual("coarse", "spread"),
    "whitened": Whitened(SPECTRUM, double([1.0, -1.0])),
    "whitened, then a residual": Residual("coarse", 3.0) @ Whitened(SPECTRUM),
    "lifted": Lifted(INTERIOR, EDGES, SHAPE),
    "lifted in other units": Standardised(1.0, 2.0) @ Lifted(INTERIOR, EDGES, SHAPE) @ Residual("coarse"),
}
CURVED: dict[str, Map] = {
    "positive": Log(double([0.0, -0.5])),
    "far from a bound": Softplus(2.0),
    "between bounds": Logit(-1.0, double([2.0, 3.0])),
    "positive, of standardised logarithms": Composed(Log(), Standardised(double([0.2, -0.1]), 0.3)),
}


def matrix_of(map: Map) -> Tensor:
    """M, a matrix a sample (batch, field, states)."""
    units = torch.eye(6, dtype=torch.float64).reshape(6, 1, *SHAPE).expand(6, N, *SHAPE)
    return torch.stack([map.operator(unit).flatten(1) for unit in units], 2)


# The maps themselves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*AFFINE, *CURVED])
def test_a_map_leads_there_and_back_and_knows_its_slope(name: str) -> None:
    map = (AFFINE | CURVED)[name]
    assert check_map(map, SHAPE, {key: GIVEN[key] for key in map.names}, N) == (10 if map.affine else 8)


class Forgetful(Standardised):
    """A broken twin, that knows no slope."""

    def log_det(self, x: Tensor, reach: Any = None) -> Tensor:
        return torch.zeros(len(x), dtype=torch.float64)


class Shifted(Standardised):
    """A broken twin, whose inverse forgets the mean."""

    def inverse(self, field: Any) -> Tensor:
        return field / self.std


def test_broken_maps_are_rejected() -> None:
    with pytest.raises(AssertionError, match="Forgetful: log_det is that of its derivative"):
        check_map(Forgetful(1.0, 2.0), SHAPE)
    with pytest.raises(AssertionError, match="Shifted: the inverse leads back"):
        check_map(Shifted(1.0, 2.0), SHAPE)


# What factors say of the field ------------------------------------------------------------------------


def rows(shape: tuple[int, ...]) -> Matrix:
    size = 8 if shape == (2, 4) else 6
    return Matrix(Keys.of(2, 4).normal(size), shape)


def factors(shape: tuple[int, ...]) -> dict[str, Factor]:
    """About fields near 10."""
    y, std = double([3.0, -8.0, 5.0, 1.0]), double([0.2, 0.5, 1.0, 0.1])
    at = torch.zeros(shape, dtype=torch.bool)
    at[0, 0] = at[1, 2] = True
    return {
        "a measurement": Measurement(y, rows(shape), std),
        "one by iterations": Measurement(y, rows(shape), std, direct=0, tolerance=1e-13),
        "one a sample": Measurement(Keys.of(8, N).normal(4), rows(shape), std),
        "a measured function": Measurement(y, lambda f: rows(shape)(f**2 / 10), std),
        "fixed": Fixed(torch.full(shape, 9.0, dtype=torch.float64), at),
        "an energy": Energy(lambda f: ((f - 9) ** 2).flatten(1).sum(1) / 50 + f[:, 0, 0] / 3),
        "a classifier": ClassifierGuidance(lambda f: torch.nn.functional.logsigmoid(f.flatten(1).mean(1) - 9)),
        "bounds": Bounded(8.0, slack=2.0),
        "late": Interval(Measurement(y, rows(shape), std), 0.7),
    }


KINDS = tuple(factors(SHAPE))


def mixed_by(map: Map) -> bool:
    return map.placed(torch.zeros(1, *SHAPE).double(), torch.ones(1, *SHAPE).double(), torch.ones(SHAPE).bool()) is None


def assert_invariant(map: Map, told: Map, factor: Factor) -> None:
    """What `told` makes of the factor gives the belief about the field that the factor itself gives it."""
    roots = KEYS.fold("cov").normal(6, 6)
    mean, cov = KEYS.fold("mean").normal(*SHAPE), roots @ roots.mT / 6
    map, told = map.bound(GIVEN), told.bound(GIVEN)
    m = matrix_of(map)
    value, given = factor.through(told).update(Normal(mean, Dense(cov)), mean, 0.5, SPACE)
    field = map(mean)
    expected, direct = factor.update(
        Normal(field, Dense(m @ cov @ m.mT)), field, 0.5, Euclidean(tuple(field.shape[1:]))
    )
    assert_close(value, expected, 1e-6)
    assert_close(map(given.mean), direct.mean, 1e-6)
    basis = torch.eye(6, dtype=torch.float64).reshape(6, 1, *SHAPE).expand(6, N, *SHAPE)
    spread = torch.stack([given.spread(e).flatten(1) for e in basis], 2)
    other = torch.eye(m.shape[1], dtype=torch.float64).reshape(-1, 1, *field.shape[1:]).expand(-1, *field.shape)
    assert_close(m @ spread @ m.mT, torch.stack([direct.spread(e).flatten(1) for e in other], 2), 1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", AFFINE)
def test_the_belief_given_what_is_known_of_the_field_is_the_same(name: str, kind: str) -> None:
    map = AFFINE[name]
    shape = (2, 4) if "lifted" in name else SHAPE
    if kind == "fixed" and ("whitened" in name or "lifted" in name):
        return  # below
    assert_invariant(map, map, factors(shape)[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_that_is_ignored_gives_another_belief(kind: str) -> None:
    rejected(assert_invariant, Residual("coarse", SCALE), Residual(0.0, SCALE), factors(SHAPE)[kind])


# What cannot go through, and what holds exactly -------------------------------------------------------


@dataclass(frozen=True)
class Own(Smooth):
    """A user's own, by its log g alone."""

    def log_g(self, code: Any) -> Tensor:
        return -((code - 9) ** 2).flatten(1).sum(1) / 50

    def tempered(self, power: float) -> "Own":
        return self


@dataclass(frozen=True)
class Odd(Own):
    """One that says more than its log g."""

    def update(self, belief: Any, x_t: Any, t: Any, space: Any) -> Any:
        return super().update(belief, x_t, t, space)


def test_a_users_own_smooth_factor_goes_through() -> None:
    assert_invariant(AFFINE["a residual"], AFFINE["a residual"], Own())


@pytest.mark.parametrize(
    "factor", [Odd(), NoisyClassifierGuidance(lambda x, t: x.sum()), RigidMotif(double([[1.0]]), [1])]
)
def test_one_that_cannot_go_through_says_so(factor: Factor) -> None:
    with pytest.raises(InputError, match=f"{type(factor).__name__}.* Residual"):
        factor.through(Residual(1.0))


def test_a_reward_sees_the_field() -> None:
    seen: list[Tensor] = []
    reward = Reward(lambda f: seen.append(f) or f.flatten(1).sum(1))
    mean = KEYS.fold("mean").normal(*SHAPE)
    value = reward.through(AFFINE["a residual"].bound(GIVEN)).log_expect(Normal(mean))
    assert_close(seen[0], COARSE + SCALE * mean)
    assert_close(value, (COARSE + SCALE * mean).flatten(1).sum(1))


@pytest.mark.parametrize("name", ["by variable", "a residual", "each its own scale", "whitened", "lifted", *CURVED])
def test_what_is_fixed_in_the_field_holds_to_round_off(name: str) -> None:
    map = (AFFINE | CURVED)[name].bound(GIVEN)
    x = KEYS.fold("x").normal(*SHAPE)
    where = torch.zeros(map(x).shape[1:], dtype=torch.bool)
    where[0, 0] = where[1, 2] = True
    target = map(0 * x[:1].expand(N, -1, -1))[0] + 0.25
    roots = KEYS.fold("cov").normal(6, 6)
    _, given = Fixed(target, where).through(map).update(Normal(x, Dense(roots @ roots.mT)), x, 0.5, SPACE)
    assert_close(map(given.mean)[:, where], target[where].expand(N, 2), 1e-12)
    _, between = Fixed(target, where).through(map).update(given, x, 0.5, SPACE)
    assert_close(between.mean, given.mean, 1e-12)


@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("kind", ["sums", "elements"])
def test_what_is_linear_in_the_field_holds_to_round_off(name: str, kind: str) -> None:
    """And within the slack it is the posterior; the belief has no doubt left along it."""
    map, x = AFFINE[name].bound(GIVEN), KEYS.fold("x").normal(*SHAPE)
    field, roots = map(x), KEYS.fold("cov").normal(6, 6)
    where = torch.zeros(field.shape[1:], dtype=torch.bool)
    where[0, 0] = where[1, 2] = True
    operator = Mask(where) if kind == "elements" else Matrix(Keys.of(4, 2).normal(where.numel()), tuple(where.shape))
    b = operator(map(0 * x) + 0.25)[0]
    exactly, cov = Constraint(operator, b, 1e-4).through(map), Dense(roots @ roots.mT)
    value, given = exactly.update(Normal(x, cov), x, 0.5, SPACE)
    assert_close(operator(map(given.mean)), b.expand(N, 2), 1e-11)
    assert_close(exactly.held(x, SPACE), exactly.held(exactly.held(x, SPACE), SPACE), 1e-11)
    noise = 1e-4 * (operator.matrix.norm(dim=1) if isinstance(operator, Matrix) else torch.ones(2).double())
    expected, nearly = Measurement(b, operator, noise).through(map).update(Normal(x, cov), x, 0.5, SPACE)
    assert_close(value, expected, 1e-6)
    assert_close(given.mean, nearly.mean, 1e-5)
    along = map.operator.adjoint(operator.adjoint(Keys.of(3, N).normal(2)))
    assert_close(given.spread(along), torch.zeros_like(x), 1e-10)


def test_equations_of_sums_do_not_hold_behind_a_logarithm() -> None:
    with pytest.raises(InputError, match=r"Constraint: .* behind Log, and so cannot hold exactly"):
        Constraint(Matrix(double([[1.0] * 6]), SHAPE), 1.0).through(Log())


def test_a_projection_is_found_once() -> None:
    """Behind whatever base, and in every step: its decomposition may be of a thousand equations."""
    equation = Constraint(Matrix(double([[1.0] * 6]), SHAPE), 1.0)
    x, condition = KEYS.normal(*SHAPE), {"coarse": COARSE}
    found = []
    for _ in range(2):
        behind: Any = equation.through(AFFINE["a residual"].bound(condition))
        found.append(projection(behind.equation(x).operator, x))
        condition = {"coarse": COARSE + 1}
    assert found[0] is found[1]


def test_a_boundary_value_that_the_lift_does_not_have_is_refused() -> None:
    where = ~INTERIOR
    with pytest.raises(InputError, match=r"element \(0, 1, 3\).* is 5, expected .* -1"):
        Fixed(torch.where(INTERIOR, 0.0, double([[0, 2.0, 0, 0], [0, 0, 0, 5.0]])), where).through(AFFINE["lifted"])


# What maps are refused --------------------------------------------------------------------------------

FINE = {"coarse": COARSE}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Standardised(0.0, double([1.0, 0.0])), r"Standardised: std: element \(1,\) is 0.0, expected positive"),
        (lambda: Standardised(0.0, -2.0), "Standardised: std: element .* is -2.0, expected positive"),
        (lambda: Standardised(double([0.0, torch.nan]), 1.0), r"Standardised: mean: element \(1,\) is nan"),
        (lambda: Residual(double([torch.inf]), 1.0), "Residual: base: element .* is inf"),
        (lambda: Standardised("coarse", [[1.0], "x"]), "Standardised: std is a list"),
        (lambda: Whitened(torch.eye(6)), "Whitened: cov is a Tensor, expected a covariance that has a root"),
        (lambda: Lifted(torch.zeros(2, 3)), "Lifted: interior holds nowhere"),
        (lambda: Lifted(INTERIOR, 0.0, (7,)), r"Lifted: shape is \(7,\), but the interior has 6 unknowns"),
    ],
)
def test_what_a_map_cannot_be_made_of(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("map", "message"),
    [
        (Standardised(torch.zeros(3), 1.0), r"Standardised: mean has the shape \(3,\), .* not line up .* \(2, 3\)"),
        (Standardised(0.0, torch.ones(N, 2, 3)), r"Standardised: std has the shape \(4, 2, 3\), .*name of a condition"),
        (Whitened(Spectral.of(torch.ones(4, 4))), r"spectrum over events of shape \(4, 4\) does not fit \(2, 3\)"),
        (Lifted(INTERIOR, EDGES), r"Lifted: is of states of shape \(6,\), found \(2, 3\)"),
        (Logit(1.0, double([2.0, 1.0])), "Logit: high must lie above low everywhere"),
        (Parts({"x": Log()}), "Parts: maps the parts of a product, not Euclidean"),
    ],
)
def test_a_map_of_other_states_is_refused(map: Map, message: str) -> None:
    with pytest.raises(InputError, match=message):
        map.require_fit(SPACE)


def test_a_map_is_of_whole_continuous_fields() -> None:
    with pytest.raises(InputError, match=r"Log: maps are of continuous fields .*, not of Centered"):
        Log().require_fit(Centered((4, 3)))
    with pytest.raises(InputError, match="Parts: the model has no part 'y', only x, tokens"):
        Parts({"y": Log()}).require_fit(coupled().space)


@pytest.mark.parametrize(
    ("map", "given", "message"),
    [
        (Residual("coarse"), {}, "Residual: base is the condition 'coarse', which the samples are not given"),
        (Residual("coars"), FINE, "base is the condition 'coars', .*'coarse'"),
        (Log() @ Residual(0.0, "spread"), FINE, "Residual: scale is the condition 'spread'"),
        (Residual("coarse"), {"coarse": COARSE / 0}, "Residual: base, the condition 'coarse': element .* is inf"),
        (Residual(0.0, "coarse"), {"coarse": COARSE - 20}, "Residual: scale, the condition 'coarse': .* positive"),
    ],
)
def test_what_samples_are_given_must_make_a_map(map: Map, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        map.bound(given)


@pytest.mark.parametrize(
    ("map", "field", "message"),
    [
        (Log(), [[1.0, 0.0, 2.0]] * 2, r"Log: element \(0, 0, 1\) of the field is 0, expected a number above 0"),
        (Softplus(3.0), [[4.0, 5.0, 2.0]] * 2, "Softplus: element .* is 2, expected a number above 3"),
        (Logit(), [[0.5, 0.5, 1.0]] * 2, "Logit: element .* is 1, expected a number below 1"),
        (Log(), [[1, 2, 3]] * 2, "Log: a field is a tensor of floating-point numbers, found numbers of torch.int64"),
        (AFFINE["lifted"], EDGES.tolist()[:1], "Lifted: is of fields of shape"),
    ],
)
def test_a_field_that_no_state_leads_to_is_refused(map: Map, field: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        map.inverse(torch.tensor([field]))


def test_a_map_that_is_not_bound_says_what_it_waits_for() -> None:
    with pytest.raises(InputError, match="Residual: base is the condition 'coarse': bind the map"):
        Residual("coarse")(torch.zeros(1, 2, 3))


def test_maps_are_the_same_by_what_they_do() -> None:
    for name, map in (AFFINE | CURVED).items():
        others = [other for key, other in (AFFINE | CURVED).items() if key != name]
        assert map.same(map)
        assert not any(map.same(other) for other in others)
    assert Standardised(double([1.0]), 2.0).same(Standardised(double([1.0]), 2.0))
    assert not Standardised(double([1.0]), 2.0).same(Standardised(double([1.5]), 2.0))
    assert not Log().same(None)


def test_a_map_of_parts_leaves_the_others_as_they_are() -> None:
    map = Parts({"x": Standardised(double([5.0, 6.0]), 2.0)})
    state: Any = {"x": Keys.of(1, 3).normal(2), "tokens": torch.zeros(3, 2, dtype=torch.int64)}
    field = map(state)
    assert_close(field["x"], double([5.0, 6.0])[:, None].T + 2 * state["x"])
    assert field["tokens"] is state["tokens"]
    assert_close(map.inverse(field)["x"], state["x"])
    assert_close(map.log_det(state), 2 * double([2.0] * 3).log())
    letters: Any = Fixed([0, 1], [True, False]).on("tokens").through(map)
    numbers: Any = Measurement([1.0], Matrix([[1.0, 0.0]]), 0.1).on("x").through(map)
    assert type(letters.factor) is Fixed
    assert_close(numbers.factor.map(state["x"]), field["x"])


def test_a_jacobian_that_is_not_known_is_refused() -> None:
    map = Whitened(Spectral.of(torch.ones(2, 4))) @ Lifted(INTERIOR, EDGES, SHAPE)
    assert map.reached() is None
    with pytest.raises(InputError, match="Whitened: the Jacobian of a field of which only some elements vary"):
        map.log_det(torch.zeros(1, *SHAPE))
