"""Networks that see captions: any size, each word counts, none does where nothing is said; and one that judges."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_networks import normal, stirred, times
from torch import Tensor, nn

from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.networks import Encoder, PatchTransformer, PatchTransformerConfig, UNet, UNetConfig, attention
from ornstein.networks.attention import attend
from ornstein.networks.patches import places

UNET = UNetConfig(16, (1, 2), 1, (0, 1), patch=2)
PATCHES = PatchTransformerConfig(32, 2, 4, 4)
MADE: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: stirred(UNet(UNET, 3, 2, 8)),
    "patches": lambda: stirred(PatchTransformer(PATCHES, 3, 2, 8)),
}


@pytest.fixture(params=MADE)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return MADE[request.param]().eval()


def said(n: int = 2, words: int = 5) -> dict[str, Tensor]:
    caption = normal(1, n, words, 8)
    caption[:, 3:] = 0
    return {"label": torch.tensor([0, 1])[:n], "caption": caption}


@torch.no_grad()
def test_any_size(network: nn.Module) -> None:
    for height, width in ((8, 8), (16, 24), (32, 8), (9, 10)):
        assert network(normal(0, 2, 3, height, width), times(2), said()).shape == (2, 3, height, width)


@torch.no_grad()
def test_every_word_counts_and_no_other(network: nn.Module) -> None:
    """Rows of 0 are no words: neither how many there are nor that they are there shows."""
    x, t, about = normal(0, 2, 3, 8, 8), times(2), said()
    out = network(x, t, about)
    longer = torch.cat([about["caption"], torch.zeros(2, 4, 8)], 1)
    assert torch.allclose(network(x, t, {**about, "caption": longer}), out, atol=1e-5)
    for word in range(3):
        other = about["caption"].clone()
        other[:, word] += 1
        assert not torch.allclose(network(x, t, {**about, "caption": other}), out, atol=1e-3)
    nothing = network(x, t, {**about, "caption": torch.zeros(2, 5, 8)})
    assert nothing.isfinite().all()
    assert not torch.allclose(nothing, out, atol=1e-3)


@torch.no_grad()
def test_samples_do_not_see_each_other(network: nn.Module) -> None:
    x, t, about = normal(0, 2, 3, 8, 8), times(2), said()
    alone = network(x[:1], t[:1], {name: value[:1] for name, value in about.items()})
    assert torch.allclose(network(x, t, about)[:1], alone, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: UNet(UNET, 3, 2, 8), lambda: PatchTransformer(PATCHES, 3, 2, 8)])
def test_a_fresh_network_says_nothing_and_learns(make: Callable[[], Any]) -> None:
    network = make()
    out = network(normal(0, 2, 3, 8, 8), times(2), said())
    assert (out == 0).all()
    out.sum().backward()
    assert any(parameter.grad is not None and (parameter.grad != 0).any() for parameter in network.parameters())


def test_attention_is_that_of_torch() -> None:
    q, k, v = (normal(seed, 2, 3, size, 4) for seed, size in ((0, 6), (1, 5), (2, 5)))
    said = torch.tensor([[True, True, False, True, False], [True] * 5])[:, None, None]
    expected = nn.functional.scaled_dot_product_attention(q, k, v, said)
    assert torch.allclose(attend(q, k, v, said), expected, atol=1e-6)
    assert not torch.allclose(attend(q, k, v), expected, atol=1e-3)  # the broken twin


def test_attention_of_long_sequences_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (normal(seed, 2, 3, size, 4).requires_grad_() for seed, size in ((0, 6), (1, 5), (2, 5)))
    found = []
    for most in (2**22, 1):
        monkeypatch.setattr(attention, "_FUSED", most)
        out = attend(q, k, v)
        found.append([out, *torch.autograd.grad(out.square().sum(), (q, k, v))])
    for short, long in zip(*found, strict=True):
        assert torch.allclose(short, long, atol=1e-5)


def test_channels_by_their_old_name() -> None:
    made: list[tuple[Any, Any]] = [(UNet, UNET), (PatchTransformer, PATCHES)]
    for network, config in made:
        with pytest.warns(DeprecationWarning, match=r"image_channels=\) is now"):
            assert network(config, image_channels=3).fields.channels == 3


def test_places_are_distinct() -> None:
    found = places((4, 6), 32, ("zero", "zero"))
    assert found.shape == (24, 32)
    assert (torch.cdist(found, found) + torch.eye(24) > 0.1).all()


def test_an_encoder_sees_pictures_one_by_one() -> None:
    encoder = stirred(Encoder(UNET, 3, 5)).eval()
    x = Keys.of(3, 4).normal(3, 16, 16).float()
    features, numbers = encoder(x)
    assert features.shape == (4, 32)
    assert numbers.shape == (4, 5)
    assert torch.allclose(encoder(x[1:2])[1], numbers[1:2], atol=1e-5)


def test_sizes_must_fit() -> None:
    with pytest.raises(InputError, match="multiple of 4 and of 3 heads"):
        PatchTransformerConfig(32, 2, 3)
