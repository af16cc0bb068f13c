"""Figures of fields: whole files, readable numbers on the axes, captions that say what was measured."""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import ornstein as on
from field_worlds import ensemble
from ornstein.calibration import Conformal, Ranks, recalibrate, reliability, sbc, spectra, spread_skill, tarp
from ornstein.report import ensembles, fields, plots
from ornstein.tasks.figures import Figure

Y, X = ensemble(0, 30, 9, 8, spread=0.7)
HOLED = np.where(np.arange(8) == 3, np.nan, Y)


def ranks() -> Ranks:
    return Ranks.of(HOLED, X)


FIGURES: dict[str, tuple[Callable[[], Figure], str]] = {
    "ranks": (lambda: fields.rank_histogram(ranks().histogram(), "T2m"), r"Rank histogram \(T2m\): p = .*4 of 5 cases"),
    "one number": (lambda: fields.rank_histogram(Ranks.of(Y[:, 0, 0], X[..., 0, 0]).histogram()), "every 1. point"),
    "pit": (lambda: fields.pit(ranks().pit()), "Probability integral transform"),
    "coverage": (lambda: fields.coverage({"raw": ranks().coverage()}), "raw: coverage, 80.0% 0.[0-9]+ ± "),
    "recalibration": (
        lambda: fields.recalibration(recalibrate(HOLED, X, Conformal(), levels=[0.4, 0.6]), "T2m"),
        r"\(Conformal, T2m\).*before: .*; after: .*Fitted on 15 cases, judged on 15 others",
    ),
    "spread": (lambda: fields.spread_skill(spread_skill(HOLED, X)), "spread / skill 0.[0-9]+ ± .*; bias "),
    "one case": (lambda: fields.spread_skill(spread_skill(HOLED[:1], X[:1])), "spread / skill 0.[0-9]+; bias "),
    "reliability": (lambda: fields.reliability(reliability(HOLED, X, 0.5)), "The field above 0.5"),
    "spectra": (lambda: fields.spectra(spectra(Y, X), [(1, 3), (3, 5)], unit="cycles"), "power, k 1–3 0.[0-9]+ ± "),
    "spectra, every k": (lambda: fields.spectra(spectra(HOLED, X)), "Power spectra"),
    "sbc": (lambda: fields.cumulated(sbc(HOLED, X)), "30 cases of 9 samples.$"),
    "sbc, many": (lambda: fields.cumulated(sbc(Y[:, :2], X[:, :, :2])), "The 6 of 16 with the smallest p are shown"),
    "tarp": (lambda: fields.cumulated(tarp(Y, X)), "30 cases of 9 samples.$"),
    "stamps": (lambda: ensembles.stamps(HOLED[0], X[0], unit="K"), "9 members, and the first 6 of them"),
    "stamps, of no truth": (
        lambda: ensembles.stamps(None, X[0], points=[[0.5, 1.0]], extent=(0, 2, 0, 2)),
        "^Mean and spread of 9 members, and the first 6 of them; dots: 1 sensor.$",
    ),
    "stamps, beside a forecast": (
        lambda: ensembles.stamps(Y[0], X[0], beside={"raw forecast": Y[0] - 1}, signed=True),
        "^Raw forecast; truth, mean and spread of 9 members",
    ),
    "stamps, of one": (lambda: ensembles.stamps(None, X[0, :1]), "^One sample.$"),
    "lines": (
        lambda: ensembles.lines(range(len(Y[0, 0])), Y[0, 0], X[0, :, 0], "row", points=[[1.0, 0.5, 0.1]]),
        r"^Truth, mean and spread of 9 members, and the first 6 of them \(row\).$",
    ),
}


@pytest.mark.parametrize(("make", "caption"), FIGURES.values(), ids=FIGURES)
def test_figures_are_whole_and_say_what_was_measured(make: Callable[[], Figure], caption: str) -> None:
    found = make()
    assert re.search(caption, found.caption), found.caption
    if found.kind == "png":
        assert min(Image.open(BytesIO(found.image)).size) > 200
    else:
        assert len(list(ElementTree.fromstring(found.image).iter())) > 50
    assert found.html().startswith("<figure>")


def test_the_same_figure_is_the_same_file() -> None:
    assert fields.pit(ranks().pit()).image == fields.pit(ranks().pit()).image


def words(image: bytes) -> str:
    """What is written in an SVG: matplotlib draws letters as shapes, and says which in comments."""
    return image.decode()


@pytest.mark.parametrize("y", [[1e-5, 1e-1, 3.0], [0.21, 0.52, 0.8]])
def test_logarithmic_axes_have_plain_numbers(y: list[float]) -> None:
    image = words(plots.curves({"loss": ([1, 10, 100], y)}, "step", "loss", "y"))
    assert "mathdefault" not in image
    assert any(f"<!-- {value:g} -->" in image for value in (0.001, 0.2))


def wrong() -> list[Any]:
    return [
        (lambda: ensembles.stamps(Y, X[0]), "samples: shape"),
        (lambda: ensembles.stamps(Y[0], X[0], beside={"raw": Y[0, 1:]}), "raw: shape"),
        (lambda: ensembles.stamps(Y[0], X[0, :1]), "at least 2 members"),
        (lambda: ensembles.lines(range(3), None, X[0, :, 0]), r"expected \(members, n\) at \(n,\)"),
    ]


@pytest.mark.parametrize(("call", "message"), wrong())
def test_what_is_wrong_is_named(call: Any, message: str) -> None:
    with pytest.raises(on.InputError, match=message):
        call()
