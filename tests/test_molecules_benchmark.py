"""EDM's network in benchmarks/molecules_throughput.py: as large as published, and it turns with its molecules."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("molecules_throughput")


def network(bench: Any, **options: Any) -> Any:
    """A small one in float64 whose coordinates move as far as features change."""
    torch.manual_seed(0)
    net = bench.EDM(16, 3, **options).double()
    for block in net.blocks:
        torch.nn.init.xavier_uniform_(block.step[-2].weight)
    return net


def molecules() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(6) < torch.tensor([6, 4])[:, None]
    x, features = torch.randn(2, 6, 3).double(), torch.randn(2, 6, 6).double()
    return x * mask[..., None], features * mask[..., None], torch.tensor([0.2, 0.9]).double(), mask


def test_it_has_as_many_weights_as_published(bench: Any) -> None:
    assert bench.weights(bench.EDM()) == pytest.approx(5.3e6, rel=0.02)


@pytest.mark.parametrize("by_atom", [False, True])
def test_turned_mirrored_and_shifted_molecules_give_turned_and_mirrored_steps(bench: Any, by_atom: bool) -> None:
    net, (x, features, t, mask) = network(bench, by_atom=by_atom), molecules()
    turn = torch.linalg.qr(torch.randn(3, 3).double())[0]
    for orthogonal in (turn, -turn):  # one of them is a mirror
        other = (x @ orthogonal + 2.0) * mask[..., None]
        (moved, seen), (moved_other, seen_other) = net(x, features, t, mask), net(other, features, t, mask)
        assert moved.abs().max() > 0.1
        torch.testing.assert_close(moved_other, moved @ orthogonal)
        torch.testing.assert_close(seen_other, seen)


def test_a_twin_that_reads_coordinates_is_rejected(bench: Any) -> None:
    net, (x, features, t, mask) = network(bench), molecules()
    turn = torch.linalg.qr(torch.randn(3, 3).double())[0]

    def moved(x: Tensor) -> Tensor:
        return net(x, features + torch.nn.functional.pad(x, (0, 3)), t, mask)[0]

    assert (moved(x @ turn) - moved(x) @ turn).abs().max() > 1e-3


def test_products_atom_by_atom_are_the_same_and_padding_changes_nothing(bench: Any) -> None:
    x, features, t, mask = molecules()
    expected = network(bench)(x, features, t, mask)
    for got, right in zip(network(bench, by_atom=True)(x, features, t, mask), expected, strict=True):
        torch.testing.assert_close(got, right)
    alone = network(bench)(x[1:, :4], features[1:, :4], t[1:], mask[1:, :4])
    for got, right in zip(alone, expected, strict=True):
        torch.testing.assert_close(got[0], right[1, :4])
