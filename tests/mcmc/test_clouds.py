"""Exchanges and rotations of point clouds: exact draws, moved, are again exact draws, and twins without a rule are not.

The target: three particles about three places, with spring constants, a width and a place of their own each, so that it
is symmetric under nothing; in its centred version, of two kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

import pytest
import torch
from torch import Tensor

from ornstein.domains.energies import system
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.mcmc.annealing import anneal
from ornstein.mcmc.clouds import Exchange, Rotation, orthogonal, that_change
from ornstein.mcmc.densities import Density, MCMCState
from ornstein.mcmc.moves import HMC, Move, TransitionInfo, repeated
from ornstein.mcmc.proposals import wide
from ornstein.mcmc.turns import InTurn
from ornstein.spaces import Centered, Euclidean
from ornstein.testing import check_kernel
from worlds import F64, anisotropic, assert_close, assert_moments, double, rejected

N = 4000
KEYS = Keys.of(1, N)
PLACES = double([[0.3, 0.0], [0.0, 0.5], [-0.4, -0.2]])
WIDTHS = double([[1.0, 0.7], [0.5, 0.8], [0.6, 0.6]])


def trapped(x: Tensor) -> Tensor:
    return ((x - PLACES.to(x)) / WIDTHS.to(x)).square().sum((1, 2)) / 2


TRAP = Density.of_energy(trapped, Euclidean((3, 2)))


@dataclass(frozen=True, kw_only=True)
class Unasked(Move):
    """A broken twin: whatever the move proposes is accepted."""

    inner: Move

    def move(self, point: MCMCState, density: Density, keys: Keys) -> TransitionInfo:
        flat = replace(density, terms=(lambda x: torch.zeros_like(x[:, 0, 0]),), weights=(1.0,))
        moved = self.inner.move(flat.at(point.x), flat, keys).point.x
        return TransitionInfo(density.at(moved), torch.ones(len(moved), dtype=F64))


def assert_keeps_the_trap(move: Move) -> None:
    """Moments of three particles, each in a place of its own."""
    x = PLACES + WIDTHS * KEYS.normal(3, 2)
    after = repeated(move, TRAP.at(x), TRAP, KEYS.fold("moves"), 5)
    assert after.acceptance.mean() > 0.05
    assert (after.point.x != x).any()
    assert_moments(after.point.x.flatten(1), PLACES.flatten(), torch.diag(WIDTHS.flatten() ** 2))


MOVES = [Exchange(), Rotation()]


@pytest.mark.parametrize("move", MOVES, ids=["exchange", "rotation"])
def test_a_trap_without_symmetry_is_kept(move: Move) -> None:
    assert_keeps_the_trap(move)
    rejected(assert_keeps_the_trap, Unasked(inner=move))


def test_moves_in_turn_keep_it_too() -> None:
    assert_keeps_the_trap(InTurn(moves=(HMC(step_size=0.3, num_steps=2), *MOVES)))
    rejected(assert_keeps_the_trap, InTurn(moves=(HMC(step_size=0.3, num_steps=2), Unasked(inner=Rotation()))))


def test_along_a_path_the_base_counts() -> None:
    """At β = 0 it is the base that is kept, here one about another centre, and exchanges are all accepted."""
    base = wide(Euclidean((3, 2)), 1.3)
    path = TRAP.from_base(base.log_prob)
    x = base.sample(KEYS).double()
    swapped = Exchange().move(path.at(x), path, KEYS)
    assert_close(swapped.acceptance, torch.ones(N, dtype=F64))
    half = path.at_weights(0.5, 0.5)
    assert Exchange().move(path.at(x), half, KEYS).acceptance.mean() < 0.95


def in_the_middle(x: Tensor) -> Tensor:
    """Whether the first of three particles on a line is between the others."""
    return (x[..., 0].argsort(1)[:, 1] == 0).double()


def assert_arranged(move: Move) -> None:
    """From the worst arrangement of three particles on a line to all, where the first pays 1.5 unless in the middle."""
    space = Centered((3, 1))
    density = Density.of_energy(lambda x: x.square().sum((1, 2)) / 2 + 1.5 * (1 - in_the_middle(x)), space)
    x = space.project(KEYS.normal(3, 1)).sort(1).values
    after = repeated(move, density.at(x), density, KEYS.fold("moves"), 12).point.x
    expected = 1 / (1 + 2 * exp(-1.5))
    assert abs(in_the_middle(after).mean() - expected) < 4 * (expected * (1 - expected) / N) ** 0.5
    assert_close(after.sort(1).values, x)  # the places are the same
    assert_close(after.mean(1), torch.zeros(N, 1, dtype=F64), 1e-12)


def test_exchanges_find_every_arrangement() -> None:
    assert_arranged(Exchange())
    rejected(assert_arranged, Unasked(inner=Exchange()))


def assert_even(turn: Callable[[Keys, int], Tensor]) -> None:
    """Orthogonal, half of them mirrored, and E of products of entries as Haar's: E[q₁₁²] = 1/3, E[q₁₁⁴] = 1/5."""
    q = turn(KEYS, 3)
    assert_close(q @ q.mT, torch.eye(3, dtype=F64).expand(N, 3, 3))
    signs = torch.linalg.det(q)
    features = torch.stack([signs, *(q.flatten(1) ** 2).T, *(q.flatten(1) ** 4).T, *q.flatten(1).T], 1)
    expected = torch.cat([double([0.0]), *(torch.full((9,), m, dtype=F64) for m in (1 / 3, 1 / 5, 0.0))])
    off = (features.mean(0) - expected) / (features.std(0) / N**0.5)
    assert off.abs().max() < 4


def test_turns_are_even() -> None:
    def lopsided(keys: Keys, dimension: int) -> Tensor:
        """A broken twin: QR as it comes, whose signs are not even."""
        return torch.linalg.qr(keys.normal(dimension, dimension)).Q

    assert_even(orthogonal)
    rejected(assert_even, lopsided)


def test_points_that_do_not_exist_stay() -> None:
    mask = torch.tensor([[True, True, False, True], [True, False, False, False]]).repeat(25, 1)
    space = Euclidean((4, 3)).with_mask(mask)
    density = Density.of_energy(lambda x: x.square().sum((1, 2)) / 2, space)
    x = space.project(KEYS[:50].normal(4, 3))
    for move in MOVES:
        after = move.move(density.at(x), density, KEYS[:50]).point.x
        assert not after[~mask].any()
        assert_close(after.square().sum((1, 2)), x.square().sum((1, 2)))
        assert_close(after.sum(1), x.sum(1))
        assert (after[::2] != x[::2]).any()
    assert_close(Exchange().move(density.at(x), density, KEYS[:50]).point.x[1::2], x[1::2])


def test_moves_that_change_no_energy_are_left_out() -> None:
    """Of particles that are all alike; in a field; of which one is heavier."""
    space = Centered((4, 3))
    alike = system("lj-13").energy

    def heavier(x: Tensor) -> Tensor:
        return alike(x) + x[:, 0].square().sum(1)

    energies = {alike: (), (lambda x: alike(x) + x[:, :, 0].square().sum(1)): (Rotation(),), heavier: (Exchange(),)}
    x = space.project(KEYS[:20].normal(4, 3))
    for energy, expected in energies.items():
        density = Density.of_energy(energy, space)
        assert that_change(density, density.at(x), KEYS[:20]) == expected
        assert density.tally.evaluations == 20 + 2 * 10


def test_annealing_takes_them_where_they_matter() -> None:
    """A cluster of two kinds, of which the one in the middle is favoured, has its exact arrangements."""
    space = Centered((3, 1))
    density = Density.of_energy(lambda x: 4 * x.square().sum((1, 2)) + 1.5 * (1 - in_the_middle(x)), space)
    found = anneal(density, wide(space, 1.0), Keys.of(0, 1000))
    expected = 1 / (1 + 2 * exp(-1.5))
    error = (expected * (1 - expected) / found.size) ** 0.5
    assert abs(in_the_middle(found.point.x).mean() - expected) < 4 * error


def test_what_is_no_cloud_is_refused() -> None:
    density = Density.of_energy(lambda x: x.square().sum(1) / 2, Euclidean((2,)))
    for move in MOVES:
        with pytest.raises(InputError, match=r"of point clouds \(points, dimension\), not of \(2,\)"):
            move.move(density.at(torch.zeros(3, 2)), density, KEYS[:3])
    with pytest.raises(InputError, match="moves in turn are one or more"):
        InTurn(moves=())


def test_moves_in_turn_conform_and_learn_as_the_first() -> None:
    energy = Density.of_energy(lambda x: x.square().sum(1) / 2, Euclidean((2,)))
    both = InTurn(moves=(HMC(step_size=0.2, num_steps=3), HMC(step_size=0.1, num_steps=2)), density=energy)
    assert check_kernel(both, anisotropic()) == 8
    assert both.evaluations(energy) == 5
    assert both.target_accept == 0.8
    steps = [float(move.tuned_step) for move in both.with_step(double(0.7)).moves if move.tuned_step is not None]
    assert steps == pytest.approx([0.7, 0.35])
    start, before = energy.at(torch.zeros(10, 2)), energy.tally.evaluations
    both.move(start, energy, KEYS[:10])
    assert energy.tally.evaluations - before == 50
