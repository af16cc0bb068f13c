"""Baselines on worlds whose answer is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from field_worlds import fields
from ornstein import InputError, Keys
from ornstein.calibration import crps
from ornstein.domains.weather import baselines
from ornstein.domains.weather.baselines import Arrays, Given
from ornstein.domains.weather.baselines.copula import Coupled, ordered
from ornstein.domains.weather.baselines.emos import Emos
from ornstein.domains.weather.baselines.records import batches, held
from ornstein.domains.weather.baselines.seasons import Seasons, picked
from worlds import rejected

RNG = np.random.default_rng


def linear(
    n: int = 150, size: int = 6, *, start: float = 0.3, slope: float = 0.8, std: float = 0.5, length: float = 0.0
) -> Arrays:
    """y = start + slope f + std ε, ε a field."""
    rng = RNG(0)
    f = fields(rng, (n, 1, 1, size, size), 0.0)
    return Arrays(f, start + slope * f + std * fields(rng, f.shape, length))


def spread_world(n: int = 200, points: int = 12) -> Arrays:
    """y = m + σ ε, and 8 members of the law N(m, (σ/2)²) σ differs: members have half of the spread."""
    rng = RNG(1)
    sigma = rng.uniform(0.3, 2.0, (n, 1, 1, points))
    m = rng.normal(size=sigma.shape)
    members = m[:, None] + 0.5 * sigma[:, None] * rng.normal(size=(n, 8, 1, 1, points))
    return Arrays(members.mean(1), m + sigma * rng.normal(size=sigma.shape), members)


def rain(n: int = 1200) -> Arrays:
    """max(0, f + ε − 1)² at one place, forecast with drizzle: f² and members of it."""
    rng = RNG(2)
    signal = rng.normal(size=(n, 1, 1, 1))
    y = np.maximum(0.0, signal + 0.6 * rng.normal(size=signal.shape) - 0.3) ** 2
    members = np.maximum(0.0, signal[:, None] + 0.3 * rng.normal(size=(n, 5, 1, 1, 1)) + 0.2) ** 2
    return Arrays(members.mean(1), y, members, kind="stations")


def every(records: Arrays) -> Given:
    return Given.of(records, slice(0, len(records.times)))


# EMOS -------------------------------------------------------------------------------------------------


def test_emos_finds_the_coefficients() -> None:
    world = linear()
    found = Emos.fit(world).predicted(every(world))

    def assert_found(known: Arrays) -> None:
        y = known.mean * 0.8 + (known.truth - 0.8 * known.mean).mean()
        assert np.abs(found.location - y.reshape(found.location.shape)).max() < 0.06
        assert np.abs(found.scale / (known.truth - y).std() - 1).max() < 0.1

    assert_found(world)
    rejected(assert_found, linear(start=0.5))
    rejected(assert_found, linear(std=0.7))


def test_emos_uses_the_spread_of_the_members() -> None:
    world = spread_world()
    given = every(world)
    found = Emos.fit(world).predicted(given)
    spread = given.members.std(1, ddof=1)
    truth, narrow = given.happened.ravel(), (spread < np.quantile(spread, 0.2)).ravel()
    off = (truth - found.location.ravel()) / found.scale.ravel()

    def assert_calibrated(off: np.ndarray) -> None:
        assert off[narrow].std() == pytest.approx(1.0, abs=0.15)
        assert off[~narrow].std() == pytest.approx(1.0, abs=0.15)

    assert_calibrated(off)
    rejected(assert_calibrated, off * found.scale.ravel() / found.scale.mean())


def test_each_station_has_its_own_line() -> None:
    rng = RNG(3)
    f = rng.normal(size=(250, 1, 1, 2))
    y = np.array([2.0, -1.0]) + np.array([0.5, 1.5]) * f + np.array([0.2, 1.0]) * rng.normal(size=f.shape)
    world = Arrays(f, y, kind="stations")
    found = Emos.fit(world)
    assert min(found.measured[0], key=lambda name: found.measured[0][name]) == "normal, each point"
    predicted = found.predicted(every(world))
    exact = np.array([2.0, -1.0]) + np.array([0.5, 1.5]) * f
    assert np.abs(predicted.location - exact).max() < 0.5
    np.testing.assert_allclose(predicted.scale.mean(0)[0, 0], [0.2, 1.0], rtol=0.15)


def test_rain_is_censored_at_zero() -> None:
    world = rain()
    train, test = world.part(slice(0, 900)), world.part(slice(900, 1200))
    found = baselines.fit(train, ["EMOS", "quantile mapping"])
    drawn = found(test)
    members = drawn["EMOS"][0:300]
    assert members.min() == 0.0
    dry = (test.truth == 0).mean()
    assert (members == 0).mean() == pytest.approx(dry, abs=0.06)
    assert (test.raw_members == 0).mean() < dry - 0.1  # type: ignore[operator]
    raw, ours = crps(test.truth, test.raw_members), crps(test.truth, members)
    assert ours.value < 0.95 * raw.value


def test_members_do_not_depend_on_the_batch() -> None:
    world = linear(40, 4)
    found = baselines.fit(world)
    for name, drawn in found(world, members=6, seed=3).items():
        together, apart = drawn[2:9], np.concatenate([drawn[2:5], drawn[5:9]])
        assert np.array_equal(together, apart), name
        assert not np.array_equal(together, found(world, 6, 4)[name][2:9]) or drawn.members == 1


def test_missing_values_are_left_out() -> None:
    world = linear(60, 4)
    truth = world.truth.copy()
    truth[::3, ..., 0] = np.nan
    truth[..., 1, 1] = np.nan
    gone = Emos.fit(replace(world, truth=truth)).predicted(every(world))
    assert np.isfinite(gone.location).all()
    assert np.abs(gone.location - Emos.fit(world).predicted(every(world)).location).max() < 0.1
    for name, drawn in baselines.fit(replace(world, truth=truth))(world, 5).items():
        missing = np.isnan(drawn[0:20]).mean()
        assert missing == 0 or name in ("climatology", "quantile mapping"), name


def test_a_station_that_was_never_read_has_the_line_of_the_others() -> None:
    rng = RNG(8)
    f = rng.normal(size=(200, 1, 1, 3))
    y = np.array([3.0, -3.0, 0.0]) + f + 0.2 * rng.normal(size=f.shape)
    y[..., 2] = np.nan
    world = Arrays(f, y, kind="stations")
    found = Emos.fit(world).predicted(every(world))
    assert np.isfinite(found.location).all()
    assert np.abs(found.location[..., 2] - f[..., 2]).max() < 1.0
    assert found.scale[..., 2].mean() > 2.0  # the others differ by 6


def test_points_that_are_masked_are_not_fitted_to() -> None:
    world = linear(64, 32)
    truth = np.full_like(world.truth, np.nan)
    truth[..., 3, 4:6] = world.truth[..., 3, 4:6]
    found = Emos.fit(replace(world, truth=truth)).predicted(every(world))
    exact = 0.3 + 0.8 * every(world).predictors
    assert np.abs(found.location - exact).max() < 0.5


# Order ------------------------------------------------------------------------------------------------


def neighbours(members: np.ndarray) -> float:
    """The rank correlation of neighbouring points over members, (n, M, V, S, y, x)."""
    ranks = stats.rankdata(members, axis=1)
    first, second = ranks[..., :-1].ravel(), ranks[..., 1:].ravel()
    return float(np.corrcoef(first, second)[0, 1])


def test_values_take_the_order_of_other_fields() -> None:
    rng = RNG(4)
    values, like = rng.normal(size=(7, 5)), rng.normal(size=(7, 5))
    found = ordered(values, like)
    assert np.array_equal(np.sort(found, 0), np.sort(values, 0))

    def assert_order(members: np.ndarray) -> None:
        assert np.array_equal(np.argsort(members, 0), np.argsort(like, 0))

    assert_order(found)
    rejected(assert_order, values)


def test_ecc_has_the_order_of_the_raw_members() -> None:
    rng = RNG(5)
    raw = fields(rng, (60, 6, 1, 1, 4, 4), 2.0)
    world = Arrays(raw.mean(1), raw.mean(1) + 0.3 * rng.normal(size=(60, 1, 1, 4, 4)), raw)
    emos = Emos.fit(world)
    drawn = Coupled(emos)(every(world), 15, Keys.of(0, 60))

    def assert_order(members: np.ndarray) -> None:
        for group in (members[:, :6], members[:, 6:12]):
            assert np.array_equal(group.argsort(1), every(world).members.argsort(1))

    assert drawn.shape[1] == 15
    assert_order(drawn)
    rejected(assert_order, emos(every(world), 15, Keys.of(0, 60)))


def test_past_fields_give_members_their_correlation() -> None:
    world = linear(120, 8, slope=0.2, length=1.5)
    drawn = baselines.fit(world, ["climatology", "EMOS", "Schaake", "dressing"])(world, 30)
    past = neighbours(world.truth.swapaxes(0, 1)[:, :, None])

    def assert_correlated(name: str) -> None:
        assert neighbours(drawn[name][0:40]) == pytest.approx(past, abs=0.1)

    for name in ("climatology", "Schaake", "dressing"):
        assert_correlated(name)
    rejected(assert_correlated, "EMOS")


def test_dressing_is_todays_mean_with_a_past_residual() -> None:
    world = linear(50, 4)
    found = baselines.fit(world, ["EMOS", "dressing"])
    predicted = found["EMOS"].predicted(every(world))  # type: ignore[attr-defined]
    off = (every(world).happened - predicted.location) / predicted.scale
    member = found(world, 3)["dressing"][7:8].reshape(3, 1, 1, -1)
    standard = (member - predicted.location[7]) / predicted.scale[7]
    for one in standard:
        assert np.abs(off - one).reshape(50, -1).max(1).min() < 1e-5  # of one of the days, whole


def test_climatology_is_past_fields() -> None:
    world = linear(30, 4)
    members = baselines.fit(world, ["climatology"])(world, 10)["climatology"][0:5]
    past = {field.tobytes() for field in world.truth.astype(np.float32)}
    assert all(field.tobytes() in past for case in members for field in case)
    assert all(len({field.tobytes() for field in case}) == 10 for case in members)


# Quantile mapping -------------------------------------------------------------------------------------


def test_mapped_forecasts_have_the_law_of_the_truth() -> None:
    rng = RNG(6)
    f = rng.normal(size=(800, 1, 1, 1))
    world = Arrays(f, rng.gamma(2.0, size=f.shape))
    drawn = baselines.fit(world, ["raw", "quantile mapping"])(world)

    def assert_same(name: str) -> None:
        same: Any = stats.ks_2samp(drawn[name][0:800].ravel(), world.truth.ravel())
        assert same.pvalue > 0.01

    assert_same("quantile mapping")
    rejected(assert_same, "raw")
    assert drawn["quantile mapping"].shape[1] == 1
    order = np.argsort(drawn["quantile mapping"][0:800].ravel())
    assert np.all(np.diff(f.ravel()[order]) > 0)


def test_a_point_mass_becomes_one_of_another_size() -> None:
    world = rain()
    mapped = baselines.fit(world, ["quantile mapping"])(world)["quantile mapping"][0:1200]

    def assert_dry(members: np.ndarray) -> None:
        assert (members <= 0).mean() == pytest.approx((world.truth == 0).mean(), abs=0.03)

    assert_dry(mapped)
    assert world.raw_members is not None
    rejected(assert_dry, world.raw_members)
    assert mapped.min() == 0.0
    turned = replace(world, mean=world.truth, truth=world.mean, raw_members=None)  # from many dry days to few
    back = baselines.fit(turned, ["quantile mapping"])(turned)["quantile mapping"][0:1200]
    assert (back == 0).mean() == pytest.approx((turned.truth == 0).mean(), abs=0.03)


# Times and records ------------------------------------------------------------------------------------


def test_past_days_are_of_the_season_and_the_hour() -> None:
    times = np.arange(np.datetime64("2000-01-01T00"), np.datetime64("2003-01-01T00"), np.timedelta64(6, "h"))
    past, now = Seasons.of(times), Seasons.of(times[[4, 800]])
    which = picked(now, past, 60, Keys.of(0, 2))
    apart = np.abs((now.days[:, None] - past.days[which] + 182.6) % 365.2425 - 182.6)  # type: ignore[index,operator]
    assert apart.max() <= 20
    assert np.allclose((past.days[which] - now.days[:, None]) % 1.0, 0.0)  # type: ignore[index]
    assert all(len(set(row.tolist())) == 60 for row in which)
    assert len(set(picked(now, past, 5000, Keys.of(0, 2))[0].tolist())) == len(times)


def test_calendars_and_numbers() -> None:
    cftime = pytest.importorskip("cftime")
    dates = np.array([cftime.DatetimeNoLeap(2000 + k // 12, 1 + k % 12, 15) for k in range(36)])
    seasons = Seasons.of(dates)
    assert seasons.annual
    near = seasons.near(seasons, 1)
    assert np.array_equal(np.nonzero(near[1])[0], [1, 13, 25])
    assert Seasons.of(np.arange(5)).near(Seasons.of(np.arange(9)), 1).all()
    assert Seasons.of(np.arange(5)).harmonics(True, True).shape == (5, 0)


def test_what_does_not_fit_memory_is_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    world = linear(29, 4)
    monkeypatch.setattr("ornstein.domains.weather.baselines.records.HELD", 10)
    assert held(world) is world
    assert [index.stop - index.start for index in batches(world, 128)] == [8] * 3 + [5]
    lazily = baselines.fit(world, ["EMOS"])(world, 4)["EMOS"][0:10]
    monkeypatch.undo()
    np.testing.assert_allclose(baselines.fit(world, ["EMOS"])(world, 4)["EMOS"][0:10], lazily)


def test_a_name_that_is_none() -> None:
    with pytest.raises(InputError, match=r"'emos' is none, did you mean 'EMOS'|'EMOSS' is none"):
        baselines.fit(linear(20, 4), ["EMOSS"])
    assert "ECC" not in baselines.fit(linear(20, 4))


def test_no_baseline_without_a_truth() -> None:
    class Today(Arrays):
        """Of which nothing is known yet."""

        def read(self, index: Any) -> Any:
            return replace(super().read(index), truth=None)

    with pytest.raises(InputError, match="no truth"):
        baselines.fit(Today(linear(20, 4).mean, linear(20, 4).truth))
