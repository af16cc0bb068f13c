"""The linear U-Net: sums and multiples hold to rounding, at every time and size, and what is not linear is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ornstein import InputError
from ornstein.keys import Keys
from ornstein.networks.fields import Fields
from ornstein.networks.linear import LinearUNet
from ornstein.networks.unet import UNet, UNetConfig
from worlds import rejected

CONFIG = UNetConfig(4, (1, 2), 1, ())
FIELDS = Fields(1, conditions={"source": 2})


def made(kind: type = LinearUNet, config: UNetConfig = CONFIG, fields: Fields = FIELDS) -> nn.Module:
    """With weights that are not those of the start, where the last convolution is 0."""
    torch.manual_seed(0)
    network = kind(config, fields).double().eval()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    return network


def fields(seed: int, *grid: int, channels: int = 1) -> Tensor:
    return Keys.of(seed, 3).normal(channels, *grid)


def assert_linear(network: nn.Module, grid: tuple[int, ...] = (8, 8)) -> None:
    t = torch.tensor([0.1, 0.5, 1.0])
    states, sources = ([fields(10 * k + j, *grid, channels=k) for j in range(2)] for k in (1, 2))
    one, other = (network(x, t, {"source": y}) for x, y in zip(states, sources, strict=True))
    both = network(2 * states[0] - states[1], t, {"source": 2 * sources[0] - sources[1]})
    assert one.abs().max() > 1e-3
    assert torch.allclose(both, 2 * one - other, rtol=1e-9, atol=1e-9)


def test_sums_and_multiples_hold() -> None:
    assert_linear(made())
    assert_linear(made(), (7, 10))  # which the factor does not divide
    rejected(assert_linear, made(UNet))


def test_gates_know_the_time() -> None:
    network, x = made(), fields(1, 8, 8)
    early, late = (network(x, torch.full((3,), t), {"source": fields(2, 8, 8, channels=2)}) for t in (0.2, 0.9))
    assert (early - late).abs().max() > 1e-3


def test_it_begins_at_zero_and_has_any_number_of_axes() -> None:
    for grid in ((8,), (6, 5), (4, 4, 4)):
        network = LinearUNet(CONFIG, Fields(1, borders=("periodic",) * len(grid)))
        x = fields(0, *grid).float()
        assert torch.equal(network(x, torch.ones(3), {}), torch.zeros_like(x))


@pytest.mark.parametrize(
    ("config", "told", "message"),
    [
        ({"attention": (1,)}, {}, r"network.attention is \(1,\)"),
        ({"dropout": 0.1}, {}, "network.dropout is 0.1"),
        ({"patch": 2}, {}, "network.patch is 2"),
        ({}, {"scalars": {"lead": 1}}, "scalars"),
        ({}, {"coordinates": True}, "coordinates"),
        ({}, {"mask": True}, "mask"),
        ({}, {"static": torch.ones(1, 8, 8)}, "static"),
    ],
)
def test_what_is_not_linear_is_refused(config: dict[str, Any], told: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LinearUNet(UNetConfig(**{"channels": 4, "attention": (), **config}), Fields(1, **told))


@pytest.mark.parametrize("source", [None, torch.full((3, 2, 8, 8), torch.nan), torch.full((3, 2, 8, 8), torch.inf)])
def test_a_condition_is_needed_everywhere(source: Tensor | None) -> None:
    with pytest.raises(InputError, match="condition 'source' is"):
        made()(fields(0, 8, 8), torch.ones(3), {} if source is None else {"source": source})
