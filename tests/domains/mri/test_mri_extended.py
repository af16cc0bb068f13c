"""Coil maps beyond the head: smooth, and what they were where they are known."""

import torch

from ornstein.domains.mri.coils.extended import extended
from ornstein.domains.mri.coils.simulate import simulate_maps


def test_maps_go_on_smoothly() -> None:
    whole = simulate_maps((48, 40), 6)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 40), indexing="ij")
    inside = (y**2 + x**2) < 0.5
    found = extended(whole * inside)
    assert torch.equal(found[:, inside], whole[:, inside])
    assert torch.allclose(found.abs().square().sum(0), torch.ones(48, 40), atol=1e-5)
    near = ((y**2 + x**2) < 0.65) & ~inside
    error = (found - whole).abs().square().sum(0).sqrt()
    assert float(error[near].max()) < 0.5  # of 1, where 0 would be off by 1
    steps = (found[:, 1:] - found[:, :-1]).abs().square().sum(0).sqrt()
    assert float(steps.max()) < 0.5


def test_without_maps_there_is_nothing_to_go_on_from() -> None:
    assert not extended(torch.zeros(3, 8, 8, dtype=torch.complex64)).any()
