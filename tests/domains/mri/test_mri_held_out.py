"""χ² of the data and of lines held out is 1 for the posterior of a Gaussian world, and not for those who are wrong."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from ornstein import Keys
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps
from ornstein.domains.mri.results.held_out import Agreement, Verdict, agreement
from ornstein.domains.mri.sense import Sense
from worlds import rejected

SHAPE, MEMBERS, SLICES = (8, 6), 8, 60
SIZE = 2 * SHAPE[0] * SHAPE[1]


@dataclass(frozen=True, eq=False)
class Seen:
    """A slice, as results look at it."""

    kspace: Tensor
    maps: Tensor
    mask: Tensor
    held: Tensor
    std: float


@cache
def world(lines: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, mask and what is held out, of lines or of points."""
    keys = torch.Generator().manual_seed(0)
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    held = mask.clone()
    if lines:
        mask[[1, 3, 4, 6]], held[[0, 5]] = True, True
    else:
        chosen = torch.randperm(SHAPE[0] * SHAPE[1], generator=keys)
        mask.view(-1)[chosen[:24]], held.view(-1)[chosen[24:36]] = True, True
    return simulate_maps(SHAPE, 3), mask, held


def drawn(lines: bool, std: float = 0.3, shrink: float = 1.0, prior: float = 1.0, seed: int = 0) -> list[Agreement]:
    """Slices of a white Gaussian world, each with exact posterior samples of a believed prior, their spread shrunk."""
    maps, mask, held = world(lines)
    operator = Sense(maps, mask)
    columns = torch.eye(SIZE).reshape(SIZE, 2, *SHAPE)
    a = torch.view_as_real(operator(columns).flatten(1)).flatten(1).T.double()
    precision = a.T @ a / std**2 + torch.eye(SIZE).double() / prior**2
    cov = torch.linalg.inv(precision)
    root = torch.linalg.cholesky(cov)
    found = []
    for number in range(SLICES):
        keys = Keys.of(seed, range(number, number + 1))
        truth = torch.view_as_complex(keys.fold("truth").normal(*SHAPE, 2).float())[0]
        kspace = simulate(truth, maps, mask | held, std, keys)
        y = torch.view_as_real(operator.measured(kspace)).flatten().double()
        white = keys.fold("samples").normal(SIZE, MEMBERS)[0].double()
        x = (cov @ a.T @ y / std**2)[:, None] + shrink * root @ white
        one = Seen(kspace, maps, mask, held, std)
        found.append(agreement(one, x.T.reshape(MEMBERS, 2, *SHAPE).float()))
    return found


def held(found: list[Agreement]) -> Tensor:
    return torch.stack([one.held_out.mean() for one in found])


def consistent(found: list[Agreement]) -> Tensor:
    return torch.stack([one.consistency.mean() for one in found])


def is_one(values: Tensor) -> None:
    """Within four standard errors."""
    assert abs(values.mean() - 1) < 4 * values.std() / len(values) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("lines", [True, False])
def test_the_posterior_of_a_gaussian_world_has_both_at_one(lines: bool) -> None:
    right, strange = drawn(lines), drawn(lines, prior=0.2)
    is_one(held(right))
    is_one(consistent(right))
    rejected(is_one, held(drawn(lines, shrink=0.5)))  # too sure
    rejected(is_one, held(drawn(lines, prior=3.0)))  # too unsure
    rejected(is_one, consistent(strange))
    assert Verdict.of(right).distrust is None
    assert "do not trust the picture" in (Verdict.of(strange).distrust or "")
