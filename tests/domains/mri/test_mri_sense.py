"""Sense is what the core's operators compose, on every kind of mask; and what it keeps of k-space is what it models."""

import pytest
import torch
from torch import Tensor

from ornstein.domains.mri.coils.simulate import simulate, simulate_maps
from ornstein.domains.mri.sense import Sense
from ornstein.domains.mri.trajectories import masks
from ornstein.errors import InputError
from ornstein.guidance.operators import Complex, Fourier, Mask, Multiply, Operator
from ornstein.keys import Keys
from ornstein.testing import check_operator

SHAPE = (18, 15)
MAPS = simulate_maps(SHAPE, 3, Keys.of(0, 1)).to(torch.complex128)
KINDS = {
    "rows": masks.uniform(SHAPE, 2, 0.2),
    "columns": masks.uniform(SHAPE, 2, 0.2, axis=1),
    "points": masks.poisson(SHAPE, 3, 0.2),
    "spokes": masks.radial(SHAPE, 3),
    "partial": masks.uniform(SHAPE, 2, 0.2) & masks.partial(SHAPE, 0.75, axis=1),
    "all": masks.full(SHAPE),
}
AXES = {"rows": 0, "columns": 1, "points": None, "spokes": None, "partial": None, "all": 0}


def composed(maps: Tensor, mask: Tensor) -> Operator:
    return Mask(mask, last=True) @ Fourier(complex=True, centered=True) @ Multiply(maps, new_axis=True) @ Complex()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_linear_operator_on_every_kind_of_mask(kind: str) -> None:
    operator = Sense(MAPS, KINDS[kind])
    assert operator.axis == AXES[kind]
    assert check_operator(operator, (2, *SHAPE)) == 12


@pytest.mark.parametrize("kinds", [["rows", "points", "all"], ["points", "points", "spokes"], ["rows", "rows", "all"]])
def test_samples_may_have_maps_and_masks_of_their_own(kinds: list[str]) -> None:
    maps = torch.stack([simulate_maps(SHAPE, 3, Keys.of(seed, 1)) for seed in range(3)]).to(torch.complex128)
    mask = torch.stack([KINDS[kind] for kind in kinds])
    for operator in (Sense(maps, mask), Sense(MAPS, mask)):
        assert operator.samples == 3
        assert check_operator(operator, (2, *SHAPE)) == 12
    x, every = Keys.of(1, 3).normal(2, *SHAPE), Sense(maps, mask)
    for k in range(3):
        alone = Sense(maps[k], mask[k])
        torch.testing.assert_close(every.normal(x)[k : k + 1], alone.normal(x[k : k + 1]))
        torch.testing.assert_close(alone.adjoint(alone(x[k : k + 1])), alone.normal(x[k : k + 1]))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_the_operators_of_the_core_compose(kind: str) -> None:
    ours, theirs, x = Sense(MAPS, KINDS[kind]), composed(MAPS, KINDS[kind]), Keys.of(1, 2).normal(2, *SHAPE)
    y = theirs(x)
    torch.testing.assert_close(ours.adjoint(ours(x)), theirs.adjoint(y))
    torch.testing.assert_close(ours.normal(x), theirs.adjoint(y))
    full = y.new_zeros(2, 3, *SHAPE)
    full[:, :, KINDS[kind]] = y
    torch.testing.assert_close(ours.measured(full), ours(x))
    if ours.axis is None:
        torch.testing.assert_close(ours(x), y)


def test_noise_in_hybrid_space_is_as_white_as_in_k_space() -> None:
    """Its covariance over many draws, of real and imaginary parts, is σ² times the identity."""
    shape, mask = (4, 6), torch.tensor([True, False, True, True])[:, None].expand(4, 6)
    operator = Sense(simulate_maps(shape, 2), mask)
    nothing = torch.zeros(4000, *shape, dtype=torch.complex128)
    kspace = simulate(nothing, torch.ones(2, *shape).to(torch.complex128), mask, 0.3, Keys.of(0, 4000))

    def off(noise: Tensor) -> float:
        parts = torch.view_as_real(operator.measured(noise)).flatten(1)
        cov = parts.T @ parts / len(parts) / 0.3**2
        error = (cov - torch.eye(len(cov))) / (1 + torch.eye(len(cov))).sqrt() * len(parts) ** 0.5
        return float(error.abs().max())

    assert off(kspace) < 5
    assert off(kspace * torch.linspace(0.9, 1.1, 6)) > 5  # noise that is not white along the readout
    assert off(kspace.real + 1.1j * kspace.imag) > 5


def test_places_that_a_sample_has_too_many_are_not_measured() -> None:
    mask = torch.stack([masks.uniform(SHAPE, 3, 0.2), masks.full(SHAPE)])
    operator, few = Sense(MAPS, mask), int(mask[0].any(1).sum())
    y = operator.measured(torch.ones(2, 3, *SHAPE, dtype=torch.complex128))
    assert y.shape == (2, 3, 18, 15)
    assert torch.equal(y.isfinite().all(-1).all(1), torch.arange(18) < torch.tensor([[few], [18]]))
    assert not operator(torch.ones(2, 2, *SHAPE))[0, :, few:].any()


def test_what_does_not_fit_is_named() -> None:
    mask = masks.full(SHAPE)
    for maps, of, words in (
        (MAPS[0], mask, "maps has the shape"),
        (MAPS, mask[:, :-1], "mask has the shape"),
        (MAPS, ~mask, "nothing was measured"),
        (MAPS.expand(2, -1, -1, -1), mask.expand(3, -1, -1), "2 samples and masks of 3"),
        (MAPS * torch.nan, mask, "expected finite"),
    ):
        with pytest.raises(InputError, match=words):
            Sense(maps, of)
    operator = Sense(MAPS, mask)
    for x in (torch.zeros(1, 2, 18, 14), torch.zeros(1, 3, *SHAPE), torch.zeros(1, 2, *SHAPE, dtype=torch.complex64)):
        with pytest.raises(InputError):
            operator(x)
    with pytest.raises(InputError, match="adjoint of Sense"):
        operator.adjoint(torch.zeros(1, 3, 4, 15, dtype=torch.complex64))
