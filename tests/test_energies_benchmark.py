"""The measures of benchmarks/energies.py, against what they must give, and its page, from made-up rows."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from ornstein.domains.energies.data import system
from ornstein.keys import Keys

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("energies_worlds")


@pytest.fixture
def report(worlds: Any) -> Any:
    return import_module("energies_report")


def test_exact_draws_pass_and_half_of_them_do_not(worlds: Any) -> None:
    mixture = system("gmm-40")
    assert mixture.draw is not None
    assert mixture.group is not None
    right = worlds.reference(mixture, quick=True)
    x = mixture.draw(Keys.of(3, 4000))
    row = worlds.measured(x, mixture, right)
    assert row["tv"] < 2 * worlds.share_floor(mixture, 4000)
    assert row["modes"] == 40
    assert row["ks"] < 0.05
    assert row["energy_error"] < 5 * row["energy_se"]
    assert row["virial_error"] < 5 * row["virial_se"]
    half = worlds.measured(x[mixture.group(x) < 20], mixture, right)
    assert half["tv"] == pytest.approx(0.5, abs=0.02)
    assert half["modes"] == 20
    assert half["w2"] > 2 * row["w2"]


def test_kolmogorov_smirnov_of_a_shift(worlds: Any) -> None:
    uniform = torch.linspace(0, 1, 1001, dtype=torch.float64)
    distance, p = worlds.kolmogorov_smirnov(uniform, uniform + 0.25)
    assert distance == pytest.approx(0.25, abs=0.002)
    assert p < 1e-6
    assert worlds.kolmogorov_smirnov(uniform, uniform)[0] == 0


def test_thinning_takes_all_chains_alike(worlds: Any) -> None:
    chains = torch.arange(64).repeat(100)
    assert len(worlds.thinned(chains, 640).unique()) == 64
    assert len(worlds.thinned(chains, 10000)) == len(chains)


def test_the_expected_distance_of_exact_shares_is_what_they_have(worlds: Any) -> None:
    wells = system("many-well-32")
    assert wells.draw is not None
    right = worlds.reference(wells, quick=True)
    found = worlds.measured(wells.draw(Keys.of(5, 2000)), wells, right)["tv"]
    assert found == pytest.approx(worlds.share_floor(wells, 2000), rel=0.5)


def _row(report: Any, **changed: Any) -> dict[str, Any]:
    row = {"system": "gmm-40", "method": report.HYBRID, "size": "1,000", "whole": True, "n": 1000, "seconds": 1.0}
    row |= {"gradients": 120000, "values": 0, "training": 5000000, "rounds": 2, "tv": 0.01}
    row |= {"tv_floor": 0.08, "modes": 40, "w2": 4.5, "log_z_error": 0.004, "log_z_se": 0.003, "energy_error": 0.02}
    row |= {"energy_se": 0.03, "virial_error": 0.1, "virial_se": 0.2, "ks": 0.02, "r_hat": 1.001, "ess": 0.8}
    row |= {"missing": 0.008, "uncovered": 0.0, "low_off": -0.01, "high_off": 0.02, "exact": True}
    return row | {"k_hat": 0.2, "passed": True, "verdict": "exact within the errors stated"} | changed


@pytest.fixture
def about() -> dict[str, Any]:
    return {
        "system": "gmm-40",
        "exact": True,
        "reference": "",
        "floors": {"w2": 4.2, "ks": 0.02},
        "seconds": 60,
        "versions": {"python": "3"},
    }


def test_what_is_missed_is_named(report: Any, about: dict[str, Any]) -> None:
    text = report.page([_row(report), about])
    met, missed = text.split("## Goals met")[1].split("## Where we miss")
    assert met.count("- gmm-40") == 5
    assert missed.strip() == "- Nothing."
    text = report.page([_row(report, tv=0.03, passed=False, verdict="NOT TO BE TRUSTED", low_off=0.001), about])
    missed = text.split("## Where we miss")[1]
    assert "total variation of the shares 0.03, goal 0.02" in missed
    assert "NOT TO BE TRUSTED" in missed
    assert "log Z lies outside of what is stated, +0.001 to +0.020 off" in missed
    text = report.page([_row(report, missing=0.05, exact=False, verdict="as far as was searched"), about])
    missed = text.split("## Where we miss")[1]
    assert "share of the mass that could be missing 0.05, goal 0.03" in missed
    assert "hybrid, 1,000: as far as was searched." in missed


def test_a_model_that_has_lost_modes_is_not_passed_over(report: Any, about: dict[str, Any]) -> None:
    lost = {"method": report.BLIND, "seed": 1, "tv": 0.3, "tv_floor": 0.04, "passed": False, "whole": False}
    text = report.page([_row(report), _row(report) | lost, about])
    assert "refused, not mended, shares off by 0.300" in text.split("## Where we miss")[1]


def test_independent_draws_rarely_exceed_the_level(worlds: Any) -> None:
    """Of 200 pairs of 500 and 10,000 uniform numbers, 5 % in the long run."""
    draws = Keys.of(0, 200).uniform(500 + 2 * worlds.COMPARED).double()
    far = [worlds.kolmogorov_smirnov(x[:500], x[500:])[0] > worlds.level(500) for x in draws]
    assert 2 <= sum(far) <= 20


def test_the_plot_is_drawn(report: Any, about: dict[str, Any], tmp_path: Path) -> None:
    nuts = {"method": report.NUTS, "size": "4 chains", "gradients": 1000, "tv": 0.5}
    peer = {"method": report.PEER, "size": "1,000", "gradients": 2000, "tv": 0.2}
    plots = import_module("energies_plot")
    plots.plot([_row(report), {**_row(report), **nuts}, {**_row(report), **peer}, about], tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")
