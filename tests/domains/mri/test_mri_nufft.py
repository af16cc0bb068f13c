"""K-space off the grid has the values of `Sense` on the grid, and an adjoint."""

import importlib.util
import sys

import pytest
import torch

from ornstein.domains.mri.coils.simulate import simulate_maps
from ornstein.domains.mri.sense import Sense
from ornstein.domains.mri.trajectories import masks
from ornstein.domains.mri.trajectories.nufft import NonCartesian, spokes
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.testing import check_operator

SHAPE = (16, 12)
MAPS = simulate_maps(SHAPE, 3, Keys.of(0, 1))


@pytest.fixture(autouse=True)
def without_deepinv(monkeypatch: pytest.MonkeyPatch) -> None:
    """mri-nufft imports it where it can, at length."""
    monkeypatch.setitem(sys.modules, "deepinv", None)


needs = pytest.mark.skipif(importlib.util.find_spec("mrinufft") is None, reason="mri-nufft is not installed")


@needs
def test_it_is_a_linear_operator() -> None:
    assert check_operator(NonCartesian(MAPS, spokes(5, 24)), (2, *SHAPE), tolerance=1e-5) == 12


@needs
def test_on_the_grid_it_is_sense() -> None:
    y, x = torch.meshgrid(*((torch.arange(n) - n // 2) / n for n in SHAPE), indexing="ij")
    places = torch.stack([y, x], -1).flatten(0, 1)
    image, sense = Keys.of(1, 2).normal(2, *SHAPE).float(), Sense(MAPS, masks.full(SHAPE))
    found = NonCartesian(MAPS, places)(image).reshape(2, 3, *SHAPE)
    torch.testing.assert_close(sense.measured(found), sense(image), atol=1e-4, rtol=1e-4)


@needs
def test_the_first_picture_is_the_image_where_spokes_are_many() -> None:
    shape = (32, 32)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    image = torch.stack([torch.exp(-8 * (y**2 + x**2)), 0 * x])[None]
    operator = NonCartesian(simulate_maps(shape, 3), spokes(64, 64))
    off = operator.gridded(operator(image)) - image
    assert float(off.norm()) < 0.1 * float(image.norm())
    plain = operator.adjoint(operator(image))
    plain = plain * float((plain * image).sum() / plain.square().sum())
    assert float((plain - image).norm()) > 0.2 * float(image.norm())  # without densities it is blurred


@needs
def test_what_does_not_fit_is_named() -> None:
    for maps, places, words in (
        (MAPS[0], spokes(2, 4), "maps has the shape"),
        (MAPS, spokes(2, 4)[:, :1], "places has the shape"),
        (MAPS, 2 * spokes(2, 4), "cycles a pixel"),
    ):
        with pytest.raises(InputError, match=words):
            NonCartesian(maps, places)
    with pytest.raises(InputError, match="adjoint"):
        NonCartesian(MAPS, spokes(2, 4)).adjoint(torch.zeros(1, 3, 9, dtype=torch.complex64))


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mrinufft", None)
    with pytest.raises(InputError, match="mrinufft"):
        NonCartesian(MAPS, spokes(2, 4))


def test_spokes_pass_through_the_middle() -> None:
    places = spokes(3, 8, 0.3).reshape(3, 8, 2)
    assert not places[:, 4].any()
    torch.testing.assert_close(places[0, 0], -0.5 * torch.tensor([0.3, 0.3 + torch.pi / 2]).sin().double())
