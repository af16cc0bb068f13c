"""Schedules start clean, end in noise, keep their digits near the data, and equal their textbook forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ornstein.errors import InputError
from ornstein.schedules import (
    EDM,
    SCHEDULES,
    Cosine,
    Linear,
    Polynomial,
    RectifiedFlow,
    Schedule,
    Slowed,
    Tabulated,
    VarianceExploding,
)
from ornstein.testing import check_schedule
from worlds import assert_close, double


def table(levels: int, schedule: Schedule) -> Tabulated:
    """Another schedule at `levels` times."""
    t = torch.arange(1, levels + 1, dtype=torch.float64) / levels
    return Tabulated(tuple((schedule.alpha(t) ** 2).tolist()))


EVERY = [*(schedule() for schedule in SCHEDULES.values()), Slowed(Cosine()), Polynomial(3.0), table(1000, Linear())]
every = pytest.mark.parametrize("schedule", EVERY, ids=lambda s: type(s).__name__)
inside = st.floats(1e-3, 1 - 1e-3)


@every
def test_data_is_clean_exactly(schedule: Schedule) -> None:
    assert schedule.sigma(0.0).item() == 0
    assert schedule.alpha(0.0).item() == 1
    assert schedule.log_snr(0.0).item() == torch.inf


@every
@given(t=inside)
def test_time_inverts_log_snr(schedule: Schedule, t: float) -> None:
    assert schedule.time(schedule.log_snr(t)).item() == pytest.approx(t, abs=1e-9)


@every
@given(t=inside, later=inside)
def test_log_snr_falls(schedule: Schedule, t: float, later: float) -> None:
    if t < later:
        assert schedule.log_snr(t) > schedule.log_snr(later)


@every
def test_out_of_reach_log_snr_is_an_end(schedule: Schedule) -> None:
    assert schedule.time(1e4).item() == pytest.approx(0, abs=1e-9)
    assert schedule.time(-1e4).item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("schedule", [Cosine(), Linear()], ids=lambda s: type(s).__name__)
@given(t=inside)
def test_variance_is_preserved(schedule: Schedule, t: float) -> None:
    assert (schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2).item() == pytest.approx(1, abs=1e-12)


@every
def test_levels_are_float64_of_the_shape_of_t(schedule: Schedule) -> None:
    for t in (0.3, torch.tensor(0.3), torch.rand(4), torch.rand(2, 3)):
        for level in (schedule.alpha(t), schedule.sigma(t), schedule.log_snr(t)):
            assert level.dtype == torch.float64
            assert level.shape == torch.as_tensor(t).shape


@pytest.mark.parametrize(
    ("schedule", "slope"), [(Cosine(), torch.pi / 2), (RectifiedFlow(), 1.0)], ids=["cosine", "flow"]
)
def test_noise_keeps_its_digits_near_the_data(schedule: Schedule, slope: float) -> None:
    assert (schedule.sigma(1e-12) / 1e-12).item() == pytest.approx(slope, rel=1e-6)


def test_linear_keeps_its_digits_near_the_data() -> None:
    """σ² = 1 − exp(−∫β) → β_min t, which 1 − α² would lose."""
    assert (Linear().sigma(1e-14) ** 2 / 1e-14).item() == pytest.approx(0.1, rel=1e-6)


def test_textbook_forms() -> None:
    t = double([0.2, 0.5, 0.9])
    beta = 0.1 * t + 0.5 * 19.9 * t**2
    assert_close(Linear().alpha(t), (-0.5 * beta).exp())
    assert_close(RectifiedFlow().alpha(t) + RectifiedFlow().sigma(t), torch.ones_like(t))
    geometric = 0.01 * 5000**t
    assert_close(VarianceExploding().sigma(t), (geometric**2 - 0.01**2).sqrt())
    karras = (0.002 ** (1 / 7) + t * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7
    assert_close(EDM().sigma(t), (karras**2 - 0.002**2).sqrt())
    assert Cosine().log_snr(0.5).item() == pytest.approx(0, abs=1e-12)


# Tables -------------------------------------------------------------------------------------------


def assert_exact_at_the_levels(schedule: Schedule, kept: torch.Tensor) -> None:
    t = torch.arange(1, len(kept) + 1, dtype=torch.float64) / len(kept)
    torch.testing.assert_close(schedule.alpha(t) ** 2, kept, rtol=1e-10, atol=0.0)
    torch.testing.assert_close(schedule.sigma(t) ** 2, 1 - kept, rtol=1e-10, atol=0.0)


@pytest.mark.parametrize("levels", [2, 10, 1000])
def test_a_table_is_exact_at_its_levels(levels: int) -> None:
    kept = double(table(levels, Linear()).kept)
    assert_exact_at_the_levels(table(levels, Linear()), kept)
    with pytest.raises(AssertionError):
        assert_exact_at_the_levels(Tabulated((0.99999, *kept[:-1].tolist())), kept)


def test_a_table_may_end_in_pure_noise() -> None:
    ends = Tabulated((0.9, 0.5, 0.0))
    assert ends.alpha(1.0).item() == 0
    assert ends.sigma(1.0).item() == 1
    assert check_schedule(ends) == 8


@pytest.mark.parametrize(("schedule", "tolerance"), [(Linear(), 5e-3), (Cosine(), 1e-10)], ids=["linear", "cosine"])
def test_a_table_returns_the_schedule_it_was_taken_from(schedule: Schedule, tolerance: float) -> None:
    """Between the levels, and below the first of them."""
    t = torch.linspace(5e-4, 1, 3001, dtype=torch.float64)
    off = table(1000, schedule).log_snr(t)[:-1] - schedule.log_snr(t)[:-1]
    assert off[t[:-1] >= 1e-3].abs().max() < tolerance
    assert off.abs().max() < 0.1


def test_a_table_is_smooth() -> None:
    """Its slope has no steps, as it would between straight lines: solvers of higher order need it."""
    levels, step = table(1000, Linear()), 1e-7
    t = torch.arange(10, 1000, dtype=torch.float64) / 1000

    def slope(t: torch.Tensor) -> torch.Tensor:
        return (levels.log_snr(t + step / 2) - levels.log_snr(t - step / 2)) / step

    assert ((slope(t + step) - slope(t - step)) / slope(t)).abs().max() < 1e-4


@pytest.mark.parametrize("kept", [(0.5,), (0.5, 0.5), (0.4, 0.5), (1.0, 0.5), (0.5, -0.1), (0.5, float("nan"))])
def test_what_is_no_table_is_refused(kept: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="falling"):
        Tabulated(kept)


def test_a_polynomial_is_a_straight_line_at_another_pace() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert_close(Polynomial(1.0).alpha(t), RectifiedFlow().alpha(t))
    assert_close(Polynomial(8.0).alpha(t), (1 - t) ** 8)
    assert_close(Polynomial(8.0).alpha(t) + Polynomial(8.0).sigma(t), torch.ones_like(t))
    for power in (0.5, torch.inf, torch.nan):
        with pytest.raises(InputError, match="power of a polynomial schedule"):
            Polynomial(power)
