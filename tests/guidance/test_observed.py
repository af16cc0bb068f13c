"""What users hand to a measurement: NaN that was not measured, complex numbers, functions that are none."""

from collections.abc import Callable
from math import nan
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ornstein import InputError
from ornstein.beliefs import Normal
from ornstein.covariances import Covariance, Dense
from ornstein.guidance.measurements import Measurement
from ornstein.guidance.operators import LinearFunction, Mask, Matrix, linear, real_parts, require_event, stack
from ornstein.keys import Keys
from ornstein.spaces import Euclidean
from ornstein.testing import check_operator
from worlds import assert_close, double, rejected

KEYS = Keys.of(1, 4)
ROOTS = KEYS.normal(6, 6)
MEAN, COV = KEYS.fold(1).normal(2, 3), ROOTS @ ROOTS.mT / 6
ROWS = Keys.of(2, 4).normal(6)
SEEN = Keys.of(3, 1).normal(4)[0]
SPREAD = Dense(COV)
SPACE = Euclidean((2, 3))


def assert_alike(one: Measurement, other: Measurement, cov: Covariance = SPREAD) -> None:
    """Both say the same of a belief, and leave the same."""
    (value, belief), (expected, left) = (factor.update(Normal(MEAN, cov), MEAN, 0.5, SPACE) for factor in (one, other))
    assert isinstance(belief, Normal)
    assert isinstance(left, Normal)
    assert_close(value, expected, 1e-8)
    assert_close(belief.mean, left.mean, 1e-8)
    assert_close(belief.spread(MEAN), left.spread(MEAN), 1e-8)


# Not measured -----------------------------------------------------------------------------------------

GAPPED = torch.where(torch.tensor([True, False, True, True]), SEEN, nan)
KEPT = [0, 2, 3]


@pytest.mark.parametrize("cov", [SPREAD, lambda v: SPREAD(v)], ids=["matrix", "map"])
@pytest.mark.parametrize("std", [0.3, double([0.2, 0.5, 1.0, 0.1])], ids=["one", "each"])
def test_what_is_nan_was_not_measured(cov: Covariance, std: Any) -> None:
    kept = std if isinstance(std, float) else std[KEPT]
    rest = Measurement(SEEN[KEPT], Matrix(ROWS[KEPT], (2, 3)), kept)
    gapped = Measurement(GAPPED, Matrix(ROWS, (2, 3)), std)
    assert_alike(gapped, rest, cov)
    rejected(assert_alike, Measurement(GAPPED.nan_to_num(), Matrix(ROWS, (2, 3)), std), rest, cov)
    assert gapped.provenance["numbers"] == 3
    assert gapped.provenance["not measured"] == 1


def test_so_it_is_by_conjugate_gradients_and_through_functions() -> None:
    rest = Measurement(SEEN[KEPT], Matrix(ROWS[KEPT], (2, 3)), 0.3)
    function = Measurement(GAPPED, lambda x: x.flatten(1) @ ROWS.T, 0.3)
    assert_alike(function, rest)
    iterated = Measurement(GAPPED, Matrix(ROWS, (2, 3)), 0.3, direct=0, tolerance=1e-10)
    moved = [one.update(Normal(MEAN, lambda v: SPREAD(v)), MEAN, 0.5, SPACE)[1].mean for one in (iterated, rest)]
    assert_close(moved[0], moved[1], 1e-6)


def test_each_sample_may_lack_something_else() -> None:
    y = SEEN.repeat(4, 1)
    y[0, 1], y[2, 3] = nan, nan
    both = Measurement(y, Matrix(ROWS, (2, 3)), 0.3).log_expect(Normal(MEAN, SPREAD))
    for k, kept in ((0, KEPT), (1, [0, 1, 2, 3]), (2, [0, 1, 2])):
        alone = Measurement(SEEN[kept], Matrix(ROWS[kept], (2, 3)), 0.3).log_expect(Normal(MEAN, SPREAD))
        assert_close(both[k], alone[k], 1e-8)


def test_measured_together_with_another() -> None:
    gapped, other = Measurement(GAPPED, Matrix(ROWS, (2, 3)), 0.3), Measurement(SEEN[:1], Matrix(ROWS[:1], (2, 3)), 0.5)
    merged: Any = gapped.merged(other)
    first, belief = gapped.update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)
    second, after = other.update(belief, MEAN, 0.5, SPACE)
    value, given = merged.update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)
    assert_close(value, first + second, 1e-8)
    assert_close(given.mean, after.mean, 1e-8)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([nan, nan], "holds nothing but NaN: nothing was measured"),
        ([nan, float("inf")], r"element \(1,\) is inf, expected finite numbers"),
        (np.array([True, False]), "holds true and false"),
        ("text", "is a str, expected numbers"),
        (None, "is a NoneType, expected numbers"),
    ],
)
def test_what_is_no_measurement_is_refused(y: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"Measurement of .*: y:? ?.*{message}"):
        Measurement(y, Matrix(ROWS[:2]), 0.3)


def test_lists_and_arrays_are_measurements() -> None:
    expected = Measurement(SEEN, Matrix(ROWS, (2, 3)), 0.3)
    for y in (SEEN.tolist(), SEEN.numpy()):
        assert_alike(Measurement(torch.as_tensor(y, dtype=torch.float64), Matrix(ROWS, (2, 3)), 0.3), expected)
        assert Measurement(y, Matrix(ROWS, (2, 3)), np.full(4, 0.3)).y.tolist() == pytest.approx(SEEN.tolist())


# Complex numbers --------------------------------------------------------------------------------------

PHASES = torch.complex(ROWS[:2], ROWS[2:])
WAVES = torch.complex(SEEN[:2], SEEN[2:])
BOTH = torch.stack([ROWS[:2], ROWS[2:]], 1).reshape(4, 6)  # real and imaginary part of each by turns


def waves(x: Tensor) -> Tensor:
    return x.flatten(1).to(PHASES) @ PHASES.T


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "a function": waves,
    "an operator": LinearFunction(waves, lambda y: (y @ PHASES.conj()).reshape(-1, 2, 3)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_complex_numbers_are_measured_by_their_parts(name: str) -> None:
    parts = Measurement(torch.view_as_real(WAVES).flatten(), Matrix(BOTH, (2, 3)), 0.3)
    assert_alike(Measurement(WAVES, OPERATORS[name], 0.3), parts)
    rejected(assert_alike, Measurement(WAVES.conj(), OPERATORS[name], 0.3), parts)
    each = Measurement(torch.view_as_real(WAVES).flatten(), Matrix(BOTH, (2, 3)), double([0.2, 0.2, 0.4, 0.4]))
    assert_alike(Measurement(WAVES.numpy(), OPERATORS[name], double([0.2, 0.4])), each)


def test_a_complex_number_that_is_nan_was_not_measured() -> None:
    y = WAVES.clone()
    y[1] = nan  # NaN + 0i: its imaginary part was not measured as 0
    first = Measurement(WAVES[:1], Matrix(PHASES[:1], (2, 3)), 0.3)
    for name in OPERATORS:
        gapped = Measurement(y, OPERATORS[name], 0.3)
        assert_alike(gapped, first)
        assert gapped.provenance["not measured"] == 2


def test_the_parts_of_an_operator_are_an_operator() -> None:
    check_operator(real_parts(LinearFunction(lambda x: torch.fft.fft(x), lambda y: torch.fft.ifft(y) * 4)), (4,))


def test_real_and_complex_must_agree() -> None:
    with pytest.raises(InputError, match=r"gives numbers of torch.complex128, .* real numbers: then y is complex"):
        Measurement(SEEN[:2], waves, 0.3).log_expect(Normal(MEAN, SPREAD))
    with pytest.raises(InputError, match=r"y is complex, but the operator gives numbers of torch.float64"):
        Measurement(WAVES, lambda x: x[:, 0, :2], 0.3).log_expect(Normal(MEAN, SPREAD))


# Operators and functions that are none ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.detach().flatten(1)[:, :4], "is not differentiable"),
        (lambda x: x.flatten(1)[:, 9], r"raised IndexError: .* \(.*test_observed.py, line \d+\)"),
        (lambda x: x.flatten(1)[:, :4] / 0, r"what the operator gives: element \(0, 0\) is -?inf"),
        (lambda x: x.flatten(1)[:, :3], r"y has the shape \(4,\), its operator gives \(3,\)"),
        (lambda x: x.sum(), "expected \\(batch, ...\\) real numbers"),
        (lambda x: x.sum(0, keepdim=True), "the operator gives 1 results for a batch of 4 states"),
        (lambda x: None, "could not be linearised: it gives a NoneType"),
        (LinearFunction(lambda x: x.flatten(1)[:, :4], lambda y: y), r"the adjoint of .* gives the shape \(4,\)"),
        (Mask(torch.ones(3, 2)), "does not act on events"),
    ],
)
def test_what_a_function_gives_is_checked(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Measurement(SEEN, function, 0.3).update(Normal(MEAN, SPREAD), MEAN, 0.5, SPACE)


@pytest.mark.parametrize("shape", [2, "2", 2.5, (2.5,), (0,), (-1,), torch.zeros(2), None])
def test_a_shape_is_that_of_an_event(shape: Any) -> None:
    with pytest.raises(InputError, match=r"stack: shape is .*, expected that of one event"):
        require_event("stack", shape)


def test_so_it_is_of_stacks_and_linear_functions() -> None:
    with pytest.raises(InputError, match=r"stack: shape is \(0,\)"):
        stack(Matrix(ROWS), shape=(0,))
    with pytest.raises(InputError, match=r"linear: shape is \(-1,\)"):
        linear(waves, (-1,))
