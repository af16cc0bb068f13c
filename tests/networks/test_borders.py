"""What lies beyond the ends of a field, for padding, for convolutions and for the places of patches."""

from typing import Any

import pytest
import torch
from test_networks import normal
from torch import nn

from ornstein.networks.borders import convolution, cropped, depth_to_space, padded, padding, space_to_depth
from ornstein.networks.patches import places
from ornstein.spectral.borders import BORDERS


@pytest.mark.parametrize(
    ("border", "expected"),
    [
        ("zero", [0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0]),
        ("periodic", [3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2]),
        ("symmetric", [3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1, 2]),
        ("reflect", [1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2]),
    ],
)
def test_a_field_goes_on_beyond_its_ends_by_any_width(border: Any, expected: list[int]) -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    longer = padded(x, [(4, 5)], [border])
    assert longer.tolist() == [[expected]]
    assert torch.equal(cropped(longer, [(4, 5)]), x)
    other = padded(x[..., None], [(4, 5), (1, 1)], [border, "zero"])
    assert other[0, 0, :, 1].tolist() == expected
    assert not other[0, 0, :, ::2].any()


def test_padding_makes_lengths_divisible() -> None:
    assert padding((5, 8, 1), 4) == [(1, 2), (0, 0), (1, 2)]


def test_convolutions_are_those_of_torch() -> None:
    """The same weights, and what torch pads where all axes end alike; the broken twin ends otherwise."""
    x = normal(0, 2, 3, 6, 5)
    for border, mode in (("zero", "zeros"), ("periodic", "circular"), ("symmetric", "replicate")):
        theirs = nn.Conv2d(3, 4, 3, padding=1, stride=2, padding_mode=mode)  # pyright: ignore[reportArgumentType]
        found = {}
        for ours in BORDERS:
            conv = convolution((ours, ours), 3, 4, stride=2)
            conv.load_state_dict(theirs.state_dict())
            found[ours] = torch.allclose(conv(x), theirs(x), atol=1e-6)
        assert found == {ours: ours == border for ours in found}


@pytest.mark.parametrize("grid", [(6,), (4, 6), (2, 4, 6)])
def test_patches_become_channels_and_back(grid: tuple[int, ...]) -> None:
    x = normal(0, 2, 3, *grid)
    assert torch.equal(depth_to_space(space_to_depth(x, 2), 2), x)
    if len(grid) == 2:
        assert torch.equal(space_to_depth(x, 2), nn.functional.pixel_unshuffle(x, 2))


def test_places_go_round() -> None:
    """The step from the last place to the first is like any other where an axis is periodic, and not where it ends."""
    for border, round in (("periodic", True), ("zero", False)):
        found = places((7, 5), 40, (border, "zero")).reshape(7, 5, 40)  # pyright: ignore[reportArgumentType]
        steps = (found.roll(1, 0) - found)[:, 0].norm(dim=1)
        assert torch.allclose(steps, steps.mean().expand(7), atol=1e-4) == round
        flat = found.flatten(0, 1)
        assert (torch.cdist(flat, flat) + torch.eye(35) > 0.1).all()
