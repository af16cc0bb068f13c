"""Benchmarks of molecules: EDM's network is as published; what is drawn is kept, of one model; tables have errors."""

from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ornstein.spaces import TimePath

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


# Runs that can be broken off --------------------------------------------------------------------------


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent))
    return import_module("benchmarks.molecule_runs")


def drawing(runs: Any, kept: Path) -> Any:
    return runs.Drawing.of(Namespace(model="molecules/qm9", kept=kept, batch=2, precision="32"))


def test_what_is_kept_is_not_drawn_again(runs: Any, tmp_path: Path) -> None:
    ours, asked = drawing(runs, tmp_path), []

    def told(part: slice) -> tuple[Any, dict[str, Tensor]]:
        asked.append(part)
        return ours.model, {}

    mask = torch.arange(ours.metadata["length"]) < torch.tensor([[5], [6], [7]])
    found = ours.draw("some", mask, 2, told)
    assert [len(one) for one in found] == [5, 6, 7]
    assert asked == [slice(0, 2), slice(2, 3)]
    next(ours.folder.glob("*-2-3.npz")).unlink()  # as if it had been broken off
    again = ours.draw("some", mask, 2, told)
    assert asked[2:] == [slice(2, 3)]
    for one, other in zip(found, again, strict=True):
        assert (one.numbers == other.numbers).all()
        assert abs(one.positions - other.positions).max() < 2e-3


def test_other_weights_or_another_path_keep_their_own(runs: Any, tmp_path: Path) -> None:
    ours = drawing(runs, tmp_path)
    assert drawing(runs, tmp_path).folder == ours.folder
    assert runs.digest(ours.model.along(TimePath.power(2.0, "atoms"))) != ours.folder.name
    with torch.no_grad():
        next(ours.model.network.parameters()).add_(1e-3)
    assert runs.digest(ours.model) != ours.folder.name


def test_tables_say_how_far_the_numbers_go(runs: Any) -> None:
    properties = import_module("benchmarks.molecule_properties")
    more = {"asked": "gap", "molecules_stable": 0.5, "atoms_stable": 0.9}
    rows = [properties.row("gap", "prompt-3", torch.tensor([0.5, 0.7]), **more)]
    assert rows[0]["error"] == pytest.approx(600.0)
    assert rows[0]["standard_error"] == pytest.approx(100.0)
    assert "| prompt-3 | 0.500 ± 0.354 | 0.9000 | 2 |" in properties.prices(rows)
    assert "600 ± 100" in properties.table(rows)
    knobs = import_module("benchmarks.molecule_knobs")
    measured = {"property": "gap", "way": "ahead", "molecules_stable": 0.5}
    measured |= knobs.row(0.8, torch.tensor([1.0, 3.0]).double(), torch.tensor([0.0, 2.0]).double()) | {"gamma": 0.8}
    assert "| gap, ahead | 2.00 ± " in knobs.table([measured])
