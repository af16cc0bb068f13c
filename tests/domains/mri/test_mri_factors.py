"""K-space as a factor: of one slice for all samples, or of each sample's own, and the posterior that it leads to."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from ornstein.beliefs import Normal
from ornstein.covariances import Diagonal
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps
from ornstein.domains.mri.factors import kspace
from ornstein.domains.mri.sense import Sense
from ornstein.domains.mri.trajectories import masks
from ornstein.errors import InputError
from ornstein.keys import Keys
from ornstein.schedules import Cosine
from ornstein.spaces import Euclidean

SHAPE = (6, 4)


@dataclass(frozen=True)
class Slice:
    kspace: Tensor
    maps: Tensor
    mask: Tensor
    std: float


def seen(number: int, std: float = 0.1, acceleration: float = 2) -> Slice:
    image = torch.view_as_complex(Keys.of(number, 1).normal(*SHAPE, 2))[0]
    maps = simulate_maps(SHAPE, 3, Keys.of(number, 1)).to(torch.complex128)
    mask = masks.uniform(SHAPE, acceleration, 0.3, slice=number)
    return Slice(simulate(image, maps, mask, std, Keys.of(number, 1)), maps, mask, std)


def answer(of: Slice) -> Tensor:
    """The mean that white unit data have, given the slice: (1 + AᵀA/σ²)⁻¹ Aᵀ y/σ²."""
    operator = Sense(of.maps, of.mask)
    matrix = operator.normal(torch.eye(48).double().reshape(48, 2, *SHAPE)).flatten(1).T / of.std**2
    right = operator.adjoint(operator.measured(of.kspace)[None])[0] / of.std**2
    return torch.linalg.solve(torch.eye(48) + matrix, right.flatten()).reshape(2, *SHAPE)


SPACE = Euclidean((2, *SHAPE), Cosine(), 1.0)


@pytest.mark.parametrize("slices", [[seen(0), seen(1, 0.2), seen(2, acceleration=1)], [seen(0, acceleration=3)] * 3])
def test_the_posterior_is_that_of_each_samples_own_slice(slices: list[Slice]) -> None:
    factor = replace(kspace(slices), direct=200)  # S is formed
    nothing = torch.zeros(3, 2, *SHAPE).double()
    _, given = factor.update(Normal(nothing, Diagonal(torch.ones_like(nothing))), nothing, 0.5, SPACE)
    torch.testing.assert_close(given.mean, torch.stack([answer(one) for one in slices]), atol=1e-5, rtol=1e-5)


def test_one_slice_is_one_measurement_of_all_samples() -> None:
    shared, own = kspace([seen(0)] * 3), kspace([seen(0), seen(1)])
    assert shared.shared(torch.zeros(3, 2, *SHAPE))
    assert not own.shared(torch.zeros(2, 2, *SHAPE))


def test_what_cannot_be_measured_is_named() -> None:
    fine = seen(0)
    hole = fine.kspace.clone()
    hole[1, int(fine.mask.any(1).nonzero()[0]), 3] = torch.nan
    for slices, words in (
        ([fine, replace(fine, kspace=hole)], "slice 1, coil 1"),
        ([fine, replace(fine, std=0.0)], "std of slice 1"),
        ([fine, replace(fine, maps=fine.maps[:2])], "slice 1"),
        ([replace(fine, mask=~fine.mask & False)], "nothing was measured"),
        ([replace(fine, kspace=fine.kspace.real)], "complex"),
        ([], "no slice"),
    ):
        with pytest.raises(InputError, match=words):
            kspace(slices)
