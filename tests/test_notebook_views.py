"""What notebooks show of samples, models and reports: how exact first, texts of others as texts, nothing restyled."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ornstein as on
from folders import saved
from ornstein.mcmc.report import MCMCReport
from ornstein.report.trust.statements import Statement, TrustReport
from ornstein.sampling.diagnostics import Exactness
from ornstein.tasks.samples import read_samples

PARTICLES = Exactness("particles", 256, (1.0, 0.4), 3, 40, -2.3, 0.1, 0.05)
CHAINS = MCMCReport(
    "draws", 256, 0.89, 0.15, 0.0, 0.92, 0.65, -0.1, 1.01, 0.012, 0.015, -0.02, 0.041, 0.004, 0.01, 550.0, 56.0, 0.03,
    0.037, 1000, 200,
)  # fmt: skip
EVIL = "<script>alert(1)</script>"


def require_scoped(html: str) -> None:
    """Styles stand at their own elements, and colours of the text are the page's own."""
    assert "<style" not in html
    assert " class=" not in html
    assert not re.search(r"[;\"]color:(?!inherit)", html)


def rows(html: str) -> dict[str, str]:
    return dict(re.findall(r"<tr[^>]*><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td></tr>", html))


def test_samples_say_how_exact_they_are_before_anything_else(tmp_path: Path) -> None:
    samples = read_samples(saved(tmp_path / "a", "images", 2))
    plain = samples._repr_html_()
    assert plain.index("not measured") < plain.index("<table") < plain.index("<img")
    require_scoped(plain.split("<figure")[0])
    exact = replace(samples, exactness=CHAINS, notes=(EVIL,))._repr_html_()
    assert exact.index("✓ exact within the errors stated") < exact.index("<table")
    assert rows(exact)["log Z"] == "0.012 ± 0.015 nats"
    assert rows(exact)["samples"] == "2, numbered from 0"
    assert EVIL not in exact
    assert "&lt;script&gt;" in exact


@pytest.mark.parametrize(
    ("report", "said", "row"),
    [
        (PARTICLES, "of what the model can draw", ("log evidence", "-2.300 ± 0.100 nats")),
        (replace(PARTICLES, families=2), "✗ COLLAPSED", ("families", "2")),
        (CHAINS, "✓ exact", ("effective sample size", "89% of 256 draws")),
        (replace(CHAINS, missing=0.2), "as far as was searched", ("mass that could be missing", "at most 20 % (95 %)")),
        (replace(CHAINS, concerns=(EVIL,)), "✗ NOT TO BE TRUSTED: &lt;script&gt;", ("agreement of chains", "R̂ 1.010")),
    ],
)
def test_reports_say_their_verdict_first(report: Exactness | MCMCReport, said: str, row: tuple[str, str]) -> None:
    html = report._repr_html_()
    require_scoped(html)
    assert html.index(said) < html.index("<table")
    assert rows(html)[row[0]] == row[1]
    assert EVIL not in html


def test_a_trust_report_shows_what_it_rests_on() -> None:
    tested = [
        Statement(f"weights {EVIL}", "SHA-256", True),
        Statement("one sample is not finite", "computed now", False),
    ]
    html = TrustReport("mine", "2 samples", f"ornstein {EVIL}", "fine", [], tested, [])._repr_html_()
    require_scoped(html)
    assert "✗ NOT TO BE TRUSTED: one sample is not finite" in html
    assert html.index("NOT TO BE TRUSTED") < html.index("SHA-256")
    assert EVIL not in html


def test_a_shipped_model_shows_its_card_and_a_guided_one_its_guides() -> None:
    model = on.load("images/digits")
    html = model._repr_html_()
    require_scoped(html)
    assert rows(html)["draws"].startswith("pictures from words or classes")
    assert rows(html)["can be told"] == "label"
    assert re.fullmatch(r"[\d,]+ on cpu", rows(html)["parameters"])
    assert "class agreement (higher is better)" in html
    assert "ornstein.sample(model, 16, seed=0)" in html
    guided = (model & on.ClassifierFreeGuidance({"label": 3}))._repr_html_()
    assert rows(guided)["guided by"] == "prompt"
    assert rows(guided)["parameters"] == rows(html)["parameters"]


def test_reports_of_calibration_are_marked_by_their_p_value_before_their_numbers() -> None:
    random = np.random.default_rng(0)
    truths, samples = random.normal(size=(200, 3)), random.normal(size=(200, 20, 3))
    for scale, mark in ((1.0, "✓"), (0.3, "✗")):  # an ensemble as wide as the truth, and one that is too narrow
        ranks = on.calibration.Ranks.of(truths, scale * samples)
        reports = [ranks.histogram().test, ranks.coverage(), *on.calibration.sbc(truths, scale * samples).values()]
        for html in (report._repr_html_() for report in reports):
            require_scoped(html)
            assert mark in html, html
            assert "p = " in html
    assert rows(on.calibration.crps(truths, samples)._repr_html_())["cases"] == "200"
