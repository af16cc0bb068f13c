"""What is known of the physical field is known of the model's states, whatever map lies between, sample by sample."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.covariances import Dense
from ornstein.denoisers.maps import Map
from ornstein.guidance.factors import ClassifierGuidance, Energy, Factor
from ornstein.guidance.interval import Interval
from ornstein.guidance.maps import Composed, Lifted, Log, Logit, Residual, Softplus, Standardised, Whitened
from ornstein.guidance.measurements import Fixed, Measurement
from ornstein.guidance.operators import Matrix
from ornstein.keys import Keys
from ornstein.roots import Spectral
from ornstein.spaces import Euclidean
from ornstein.transforms import periodic
from worlds import assert_close, double, rejected

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
    map = (AFFINE | CURVED)[name].bound(GIVEN)
    x = KEYS.fold("x").normal(*SHAPE)
    assert_close(map.inverse(map(x)), x, 1e-9)
    if "lifted" in name:
        return  # a field has more numbers than unknowns
    slopes: Any = torch.autograd.functional.jacobian(lambda z: map(z).sum(0), x)  # samples know nothing of one another
    slopes = slopes.flatten(0, 1).movedim(1, 0).reshape(N, 6, 6)
    assert_close(map.log_det(x), torch.linalg.slogdet(slopes).logabsdet, 1e-9)


@pytest.mark.parametrize("name", AFFINE)
def test_an_affine_map_is_its_base_and_its_operator(name: str) -> None:
    map, x = AFFINE[name].bound(GIVEN), KEYS.fold("x").normal(*SHAPE)
    assert map.affine
    assert_close(map(x) - map(torch.zeros_like(x)), map.operator(x), 1e-9)
    y = Keys.of(9, N).normal(*map(x).shape[1:])
    assert_close((map.operator(x) * y).flatten(1).sum(1), (x * map.operator.adjoint(y)).flatten(1).sum(1), 1e-9)


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
