"""Colours of plots are told apart, and maps of them read in order, with every kind of colour vision."""

from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from colours import BLINDNESSES, contrast, distance, lab, linear_of
from ornstein.report import palette, plots

SEEN = pytest.mark.parametrize("blindness", BLINDNESSES)


@SEEN
def test_series_are_told_apart(blindness: str) -> None:
    beside = [(palette.GREY, palette.INK), (palette.GREY, palette.RED)]  # the calibrated and the measured
    apart = {(a, b): distance(a, b, blindness) for a, b in [*combinations(palette.SERIES, 2), *beside]}
    closest = min(apart, key=lambda pair: apart[pair])
    assert apart[closest] > 20, (closest, apart[closest])


def test_the_simulation_sees_what_is_confused() -> None:
    """A violet and a blue that an earlier palette had."""
    assert distance("#6d597a", "#1f4e79") > 20
    assert distance("#6d597a", "#1f4e79", "protanopia") < 13


def test_series_are_seen_on_white() -> None:
    assert all(contrast(colour, "#ffffff") > 2.2 for colour in palette.SERIES)
    assert contrast(palette.INK, "#ffffff") > 4.5
    assert contrast(palette.RED, "#ffffff") > 4.5


def lightness(name: str, blindness: str) -> np.ndarray:
    rgb = matplotlib.colormaps[name](np.linspace(0, 1, 65))[:, :3]
    return lab(linear_of(rgb), blindness)[:, 0]


@SEEN
@pytest.mark.parametrize("name", [palette.SEQUENTIAL, palette.HEIGHTS, palette.DENSITY, "magma"])
def test_maps_of_amounts_rise_or_fall_in_lightness(name: str, blindness: str) -> None:
    steps = np.diff(lightness(name, blindness))
    assert (np.sign(steps.sum()) * steps > -0.35).all()
    assert abs(steps.sum()) > 60


@SEEN
def test_the_map_of_signs_has_its_lightest_in_the_middle_and_two_ends(blindness: str) -> None:
    light = lightness(palette.DIVERGING, blindness)
    assert abs(int(light.argmax()) - 32) <= 2
    assert (np.diff(light[:30]) > -0.35).all()
    assert (np.diff(light[35:]) < 0.35).all()
    low, high = map(to_hex, matplotlib.colormaps[palette.DIVERGING]([0.1, 0.9]))
    assert distance(low, high, blindness) > 40


def test_plots_are_drawn_in_the_palette_on_white() -> None:
    line = ([0.0, 1.0], [0.0, 1.0])
    drawn = plots.curves({str(k): line for k in range(3)}, "x", "y").decode()
    assert all(colour in drawn for colour in palette.SERIES[:3])
    assert "fill: #ffffff" in drawn
