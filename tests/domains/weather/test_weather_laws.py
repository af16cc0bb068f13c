"""Laws that EMOS has, against closed forms and quadrature."""

from typing import Any

import numpy as np
import pytest
import scoringrules
import torch
from scipy import stats
from torch import Tensor

from ornstein import Keys
from ornstein.domains.weather.baselines.laws import Law, Located, Truncated, candidates, crps
from worlds import rejected

LAWS: tuple[Law, ...] = (
    *(Located(shape, link) for shape in ("normal", "logistic") for link in ("identity", "censored", "squared")),
    Truncated(),
)
LOCATION, SCALE = 0.4, 0.9


def full(value: float, like: Tensor) -> Tensor:
    return torch.full_like(like, value)


def draws(law: Law, n: int = 4000, location: float = LOCATION) -> Tensor:
    u = Keys.of(1, 1).uniform(n)[0]
    return law.quantile(u, full(location, u), full(SCALE, u))


def found(law: Law, values: Tensor, levels: int) -> np.ndarray:
    return crps(law, values, full(LOCATION, values), full(SCALE, values), levels).numpy()


def by_quadrature(law: Law, value: float) -> float:
    """∫ (F(x) − 1[x ≥ y])² dx, of the distribution function at many places."""
    x = torch.linspace(-12.0, 40.0, 200_001, dtype=torch.float64)
    below = law.level(x, full(LOCATION, x), full(SCALE, x), torch.ones_like(x))
    below = torch.where(x < 0, 0.0, below) if law != Located("normal") and law != Located("logistic") else below
    return float(torch.trapezoid((below - (x >= value).double()) ** 2, x))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_crps_is_the_area_between_distribution_functions(law: Law) -> None:
    values = torch.tensor([0.0, 0.3, 2.5], dtype=torch.float64)

    def assert_crps(scale: float) -> None:
        exact = [scale * by_quadrature(law, float(value)) for value in values]
        np.testing.assert_allclose(found(law, values, 4000), exact, rtol=2e-3, atol=2e-3)

    assert_crps(1.0)
    rejected(assert_crps, 1.02)


def test_the_crps_is_that_of_scoringrules() -> None:
    values = np.array([0.0, 0.3, 2.5])
    known = {
        Located("normal"): scoringrules.crps_normal(values, LOCATION, SCALE),
        Located("logistic"): scoringrules.crps_logistic(values, LOCATION, SCALE),
        Located("normal", "censored"): scoringrules.crps_cnormal(values, LOCATION, SCALE, lower=0.0),
        Truncated(): scoringrules.crps_tnormal(values, LOCATION, SCALE, lower=0.0),
    }
    for law, exact in known.items():
        np.testing.assert_allclose(found(law, torch.from_numpy(values), 4000), exact, rtol=2e-3)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_drawn_value_lies_anywhere_in_its_law(law: Law) -> None:
    values = draws(law)
    places = Keys.of(2, 1).uniform(len(values))[0]

    def assert_uniform(location: float, place: Tensor) -> None:
        level = law.level(values, full(location, values), full(SCALE, values), place)
        assert stats.kstest(level.numpy(), "uniform").pvalue > 1e-3

    assert_uniform(LOCATION, places)
    rejected(assert_uniform, LOCATION + 0.2, places)
    if "censored" in law.name:
        rejected(assert_uniform, LOCATION, torch.ones_like(places))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_level_of_a_quantile_is_its_own(law: Law) -> None:
    u = torch.linspace(0.4, 0.99, 50, dtype=torch.float64)
    q = law.quantile(u, full(1.0, u), full(SCALE, u))
    back = law.level(q, full(1.0, u), full(SCALE, u), torch.ones_like(u))
    np.testing.assert_allclose(back.numpy(), u.numpy(), atol=1e-9)


def test_far_below_zero_the_truncated_law_is_still_above_it() -> None:
    u = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    q = Truncated().quantile(u, full(-6.0, u), full(1.0, u))
    exact = stats.truncnorm(6.0, np.inf, loc=-6.0).ppf(u.numpy())
    np.testing.assert_allclose(q.numpy(), exact, rtol=1e-6)


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        ((-3.0, 0.0, 1.0, 0.0), {"normal"}),
        ((270.0, 285.0, 8.0, 0.0), {"normal"}),
        ((0.1, 6.0, 3.0, 0.0), {"normal", "truncated normal", "censored root-normal"}),
        (
            (0.0, 3.0, 6.0, 0.4),
            {"censored normal", "censored logistic", "censored root-normal", "censored root-logistic"},
        ),
    ],
)
def test_laws_that_a_variable_may_have(seen: Any, names: set[str]) -> None:
    assert {law.name for law in candidates(*seen)} == names
