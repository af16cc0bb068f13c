"""Several measurements of one state are one solve, which says what they say in turn; values are checked."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Joint, Normal, counted
from ornstein.covariances import Covariance, Dense
from ornstein.effort import Tally
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy, Factor, update
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Blur, Downsample, LinearFunction, Matrix, stack
from ornstein.keys import Keys
from ornstein.spaces import Euclidean, Product
from worlds import assert_close, double, rejected, single

SHAPE = (4, 6)
SPACE = Euclidean(SHAPE)
ROOTS = Keys.of(1, 3).normal(24, 24)
MEAN, SPREAD = Keys.of(2, 3).normal(*SHAPE), Dense(ROOTS @ ROOTS.mT / 24)
ROWS = Keys.of(3, 3).normal(24)
SEEN = Keys.of(4, 1).uniform(*SHAPE)[0] < 0.5


def lazily(v: Tensor) -> Tensor:
    """The covariance as a network has it: a map."""
    return SPREAD(v)


def measurements(direct: int = 64) -> list[Factor]:
    """Three of one state, of different shapes and widths."""
    options: dict[str, Any] = {"direct": direct, "tolerance": 1e-12, "probes": 64}
    return [
        Measurement(Keys.of(5, 1).normal(2, 3)[0], Downsample(2), 0.3, **options),
        Measurement(Keys.of(6, 1).normal(3)[0], Matrix(ROWS, SHAPE), double([0.2, 0.5, 1.0]), **options),
        Measurement(Keys.of(7, 3).normal(*SHAPE), Blur.gaussian(0.6), 0.4, **options),
    ]


def in_turn(factors: Sequence[Factor], belief: Any) -> tuple[Tensor, Any]:
    """One solve after the other, each in the covariance that the one before left."""
    values = []
    for factor in factors:
        value, belief = factor.update(belief, MEAN, 0.5, SPACE)
        values.append(value)
    return torch.stack(values), belief


def assert_as_in_turn(factors: Sequence[Factor], cov: Covariance, tolerance: float = 1e-6) -> None:
    """The sum of the log evidences, the mean and the covariance."""
    (values, found), (expected, belief) = (way(factors, Normal(MEAN, cov)) for way in (together, in_turn))
    assert values.shape == expected.shape
    assert_close(values.sum(0), expected.sum(0), tolerance)
    assert_close(found.mean, belief.mean, tolerance)
    assert_close(found.cov(MEAN), belief.cov(MEAN), tolerance)


def together(factors: Sequence[Factor], belief: Any) -> tuple[Tensor, Any]:
    return update(factors, belief, MEAN, 0.5, SPACE)


@pytest.mark.parametrize(
    ("cov", "direct"), [(SPREAD, 64), (lazily, 64), (lazily, 0)], ids=["matrix", "map", "iterated"]
)
def test_one_solve_says_what_several_say_in_turn(cov: Covariance, direct: int) -> None:
    assert_as_in_turn(measurements(direct), cov)


def test_the_comparison_rejects_measurements_that_do_not_know_of_each_other() -> None:
    def apart(factors: Sequence[Factor], belief: Any) -> tuple[Tensor, Any]:
        """A broken twin: each conditions the prior, and their moves are added."""
        each = [factor.update(belief, MEAN, 0.5, SPACE) for factor in factors]
        mean = belief.mean + sum(after.mean - belief.mean for _, after in each)
        return torch.stack([value for value, _ in each]), Normal(mean, each[-1][1].cov)

    def compare() -> None:
        (values, found), (expected, belief) = (way(measurements(), Normal(MEAN, SPREAD)) for way in (apart, in_turn))
        assert_close(values.sum(0), expected.sum(0), 1e-6)
        assert_close(found.mean, belief.mean, 1e-6)

    rejected(compare)


def products(way: Callable[..., Any], factors: Sequence[Factor]) -> int:
    """How often a covariance is asked for the belief alone."""
    tally = Tally(valued=False)
    way(factors, counted(Normal(MEAN, lazily), tally, 1))
    return int(tally.effort.gradients)


def test_there_is_no_solve_inside_a_solve() -> None:
    one = products(together, measurements(0))
    assert one <= 33 + 1  # conjugate gradients need no more iterations than there are numbers
    assert products(in_turn, measurements(0)) > 10 * one


def test_measurements_of_one_part_are_one_solve_and_of_two_are_not() -> None:
    belief = Joint({"a": Normal(MEAN, lazily), "b": Normal(MEAN, lazily)})
    space = Product({"a": SPACE, "b": SPACE})
    first, second, third = measurements(0)
    factors = [first.on("a"), second.on("b"), third.on("a")]
    values, found = update(factors, belief, {"a": MEAN, "b": MEAN}, 0.5, space)
    alone = {"a": together([first, third], Normal(MEAN, lazily)), "b": together([second], Normal(MEAN, lazily))}
    for name, (_, expected) in alone.items():
        assert_close(found.mean[name], expected.mean, 1e-8)
    assert_close(values.sum(0), alone["a"][0].sum(0) + alone["b"][0].sum(0))
    assert (values[2] == 0).all()


def test_many_fixed_numbers_join_the_solve_and_hold() -> None:
    shape = (10, 12)
    space, mean = Euclidean(shape), Keys.of(2, 2).normal(10, 12)
    roots = Keys.of(1, 2).normal(120, 120)
    spread = Dense(roots @ roots.mT / 120 + torch.eye(120))
    where = torch.arange(120).reshape(shape) < 70
    value, seen = Keys.of(8, 1).normal(*shape)[0], Keys.of(9, 1).normal(5, 6)[0]
    fixed = Fixed(value, where, slack=1e-2)
    measured = Measurement(seen, Downsample(2), 0.3, direct=0, tolerance=1e-9, iterations=400)
    assert fixed.merged(measured) is not None
    assert Fixed(value, where & (value > 1.0)).merged(measured) is None  # few are conditioned on first
    belief = Normal(mean, lambda v: spread(v))
    found = update([fixed, measured], belief, mean, 0.5, space)[1]
    exact = Normal(mean, spread)
    for factor in (fixed, measured):
        exact = factor.update(exact, mean, 0.5, space)[1]
    assert found.mean[:, where].equal(value[where].expand(2, -1))
    assert_close(found.mean, exact.mean, 1e-2)


def test_each_is_in_the_record_and_in_its_place() -> None:
    world = single() & Energy(lambda x: x[:, 0]) & Measurement(double([0.4]), Matrix(double([[1.0, 0.6]])), 0.3)
    both = world & Measurement([0.1], Matrix([[0.0, 1.0]]), 0.5)
    assert [record["factor"] for record in both.provenance] == ["Measurement", "Measurement", "Energy"]


def test_what_holds_exactly_comes_first() -> None:
    fixed, measured = (
        Fixed(double([0.0, 1.0]), torch.tensor([False, True])),
        Measurement([0.4], lambda x: x[:, :1], 0.3),
    )
    given = single() & measured & Measurement([0.4], Matrix([[1.0, 0.0]]), 0.3) & fixed
    assert [record["factor"] for record in given.provenance] == ["Fixed", "Measurement", "Measurement"]


def test_a_stacked_measurement_is_all_of_them() -> None:
    first, second = Downsample(2), Matrix(ROWS, SHAPE)
    y = torch.cat([Keys.of(5, 1).normal(6)[0], Keys.of(6, 1).normal(3)[0]])
    whole = Measurement(y, stack(first, second, shape=SHAPE), 0.3)
    parts = [Measurement(y[:6].reshape(2, 3), first, 0.3), Measurement(y[6:], second, 0.3)]
    (value, found), (values, expected) = (together(factors, Normal(MEAN, SPREAD)) for factors in ([whole], parts))
    assert_close(value.sum(0), values.sum(0))
    assert_close(found.mean, expected.mean)


def test_a_cap_that_was_hit_is_on_the_tally() -> None:
    y = Keys.of(7, 1).normal(*SHAPE)[0]

    def effort(**options: Any) -> Any:
        tally = Tally(valued=False)
        factor = Measurement(y, Blur.gaussian(0.6), 0.1, direct=0, **options)
        factor.update(counted(Normal(MEAN, lazily), tally, 1), MEAN, 0.5, SPACE)
        return tally.effort

    short, enough = effort(iterations=2), effort()
    assert short.capped.tolist() == [1, 1, 1]
    assert (short.unsolved > 1e-4).all()
    assert "in 3 of 3 samples" in short.notes[0]
    assert (enough.unsolved == 0).all()
    assert enough.notes == ()


# Values on the way in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [list, np.asarray, tuple], ids=["list", "array", "tuple"])
def test_arrays_and_lists_are_taken(of: Any) -> None:
    y, std, expected = (
        [0.5, -1.0, 2.0],
        [0.2, 0.5, 1.0],
        Measurement(double([0.5, -1.0, 2.0]), Matrix(ROWS, SHAPE), double([0.2, 0.5, 1.0])),
    )
    found = Measurement(of(y), Matrix(ROWS.numpy(), SHAPE), of(std))
    value, belief = found.update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)
    other, same = expected.update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)
    assert_close(value, other, 1e-5)
    assert_close(belief.mean, same.mean, 1e-5)


def wrong(y: Any = (0.5, -1.0, 2.0), operator: Any = None, std: Any = 0.3, **options: Any) -> None:
    Measurement(y, operator or Matrix(ROWS, SHAPE), std, **options).update(Normal(MEAN, lazily), MEAN, 0.5, SPACE)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"y": [float("nan")] * 3}, "Measurement of Matrix: y holds nothing but NaN"),
        ({"y": [0.5, float("inf"), 1.0]}, r"y: element \(1,\) is inf"),
        ({"y": [1j, 0, 0]}, "y is complex, but the operator gives numbers of torch.float64"),
        ({"y": "0.5"}, "y is a str, expected numbers"),
        ({"y": [True, False, True]}, "y holds true and false"),
        ({"y": [0.5, 1.0]}, r"Measurement of Matrix: y has the shape \(2,\), its operator gives \(3,\)"),
        ({"std": float("nan")}, "std: element .* is nan"),
        ({"std": 0.0}, "Measurement of Matrix: std must be positive; a measurement without noise is a constraint"),
        ({"std": [0.1, 0.0, 1.0]}, "std must be positive"),
        ({"std": [0.1, 0.2]}, r"std has the shape \(2,\), expected one number, or one for each of the"),
        ({"tolerance": 0.0}, "tolerance is 0.0, expected a number between 0 and 1"),
        ({"iterations": 0}, "iterations is 0"),
        ({"operator": lambda x: float(x.detach().sum())}, "could not be linearised: it gives a float"),
        ({"operator": lambda x: [x]}, "the function could not be linearised"),
        ({"operator": lambda x: x[:, 0, :3].cfloat()}, "the operator gives numbers of torch.complex64"),
        ({"operator": lambda x: x[:, 0, :2]}, r"y has the shape \(3,\), its operator gives \(2,\)"),
        ({"operator": lambda x: x[:1, 0, :3]}, "the operator gives 1 results for a batch of 3 states"),
        (
            {"operator": lambda x: x[:, 0, :3].long()},
            "of <lambda>: the function could not be linearised",
        ),
        (
            {"operator": LinearFunction(lambda x: x[:, 0, :3], lambda y: y)},
            r"the adjoint of LinearFunction gives the shape \(3,\)",
        ),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        wrong(**options)


@pytest.mark.parametrize(
    ("value", "where", "options", "sentence"),
    [
        (MEAN[0], 2 * SEEN.long(), {}, "Fixed: where holds other values than 0 and 1"),
        (MEAN[0, :2], SEEN, {}, r"Fixed: where has the shape \(4, 6\), value \(2, 6\)"),
        (MEAN[0] * torch.nan, SEEN, {}, "Fixed: the value where it is fixed: element .* is nan"),
        (MEAN[0], SEEN, {"slack": 0.0}, "Fixed: slack is 0.0, expected a positive width"),
    ],
)
def test_what_is_fixed_is_checked(value: Any, where: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Fixed(value, where, **options)


def test_a_mask_of_numbers_fixes_what_a_mask_does() -> None:
    belief = Normal(MEAN, SPREAD)
    found, expected = (
        Fixed(value, where).update(belief, MEAN, 0.5, SPACE)[1]
        for value, where in ((MEAN[1].numpy(), SEEN.float()), (MEAN[1], SEEN))
    )
    assert found.mean.equal(expected.mean)


def test_no_step_is_taken_where_a_covariance_is_not_positive() -> None:
    """As a network's need not be: along the other directions the answer is that of the rest."""
    variances = double([0.5, -0.5, 0.0, 2.0])
    y, cov = double([1.0, 1.0, 1.0, -1.0]), Dense(variances.diag()[None])
    belief = Normal(torch.zeros(1, 4, dtype=torch.float64), lambda v: cov(v))
    factor = Measurement(y, Matrix(torch.eye(4, dtype=torch.float64), (4,)), 0.01)
    _, given = factor.update(belief, belief.mean, 0.5, Euclidean((4,)))
    left_over = variances.clamp(min=0)
    assert_close(given.mean[0], left_over / (left_over + 1e-4) * y, 1e-9)


@pytest.mark.parametrize("direct", [64, 0])
def test_a_sample_that_has_diverged_leaves_the_others_as_they_are(direct: int) -> None:
    factor = measurements(direct)[1]
    value, belief = factor.update(Normal(MEAN, lazily), MEAN, 0.5, SPACE)
    broken = torch.tensor([False, True, False])

    def diverged(v: Tensor) -> Tensor:
        return torch.where(broken[:, None, None], torch.nan, lazily(v))

    seen, found = factor.update(Normal(MEAN, diverged), MEAN, 0.5, SPACE)
    assert found.mean[1].isnan().all()
    assert_close(found.mean[~broken], belief.mean[~broken])
    assert_close(seen[~broken], value[~broken])
