"""What the tour shows of a model of slices, made with a fresh network on a small grid."""

from typing import Any

import numpy as np
import pytest
import torch

from ornstein.denoisers.base import NeuralDenoiser, Origin, Traits
from ornstein.domains.mri import chapters
from ornstein.domains.mri.examples import example
from ornstein.domains.mri.factors import Slice, kspace
from ornstein.domains.mri.network import network
from ornstein.domains.mri.task import Mri
from ornstein.domains.mri.words import RETROSPECTIVE
from ornstein.events import finished
from ornstein.networks.unet import UNetConfig
from ornstein.spaces import Euclidean
from recon_domain import model


def fresh(h: int = 64, w: int = 64) -> NeuralDenoiser:
    origin = Origin("mri", "mri/test", {}, {"shape": [2, h, w], "slice": [h, w]}, "0")
    torch.manual_seed(0)
    return NeuralDenoiser(network(UNetConfig(8, (1, 2), 1, ())), Traits(Euclidean((2, h, w), data_std=0.3), origin))


def test_slices_that_are_not_square_have_no_stop() -> None:
    assert not chapters.stops(fresh(64, 48), False)
    assert [stop.seconds for stop in chapters.stops(fresh(), False)] == [17]


def test_a_model_of_windows_is_shown_whole_slices() -> None:
    """Their pixels are those that it has learned from; of a slice squeezed into a window they would be larger."""
    (stop,) = Mri().stops(model((64, 64), window=(32, 32)), False)
    make: Any = stop.make
    assert make.args[0].space.shape == (2, 64, 64)
    assert not Mri().stops(model((64, 48), window=(32, 32)), False)


def test_what_is_told_is_what_was_measured() -> None:
    """The truth, brought to the model's units with what was estimated, explains k-space up to the noise."""
    scan = example("r16", 64)
    told = chapters.seen(scan)
    assert isinstance(told, Slice)
    factor = kspace(told)
    turn = (told.maps * scan.maps.conj()).sum(0)  # phase and brightness of the estimate, where coils are the true ones
    state = scan.image / told.unit / torch.where(turn.abs() > 0, turn, torch.inf)
    x = torch.stack([state.real, state.imag])[None]
    left = (factor.operator(x) - factor.y).square().mean().sqrt()
    assert float(left) < 1.6  # of the real and imaginary part: 1, and what the maps are off
    other = torch.stack([state.abs(), 0 * state.abs()]).flip(-1)[None]
    assert float((factor.operator(other) - factor.y).square().mean().sqrt()) > 3
    best = np.quantile(scan.image.abs(), 0.99)
    assert told.scale == pytest.approx(best, rel=0.3)


def test_what_is_not_measured_is_filled_with_zeros() -> None:
    """In the units of the scan: of all of k-space, it is the image."""
    scan = example("r16", 64, 1.0, std=1e-4)
    found, truth = chapters.zero_filled(chapters.seen(scan)), scan.image.abs().numpy()
    assert np.abs(found - truth).max() < 0.05
    assert np.abs(chapters.zero_filled(chapters.seen(example("r16", 64, 4.0, std=1e-4))) - truth).max() > 0.1


@pytest.mark.slow
def test_the_chapter_of_a_scan() -> None:
    (stop,) = chapters.stops(fresh(), False)
    chapter = finished(stop.make(0))
    assert chapter.title == stop.title == chapters.TITLE
    assert RETROSPECTIVE in chapter.text
    assert "not for clinical use" in chapter.text
    pictures, coverage = chapter.figures
    assert pictures is chapter.cover
    assert "on one scale" in pictures.caption
    assert "raw (not widened)" in coverage.caption
    values = {metric.name: metric.value for metric in chapter.metrics}
    assert any("coverage" in name for name in values)
    assert values["zero-filled: PSNR, slice maximum"] > 10
