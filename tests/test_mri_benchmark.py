"""The peers of benchmarks/mri.py solve what they say, and its table says what was measured."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import mri_peers as peers
from benchmarks.mri_cases import Row, accuracy, store, stored, table
from benchmarks.mri_data import Measured, Slice
from torch import Tensor

from ornstein.domains.mri.coils.simulate import simulate, simulate_maps
from ornstein.domains.mri.trajectories.masks import drawn
from ornstein.keys import Keys

SIDE = 32


def seen(acceleration: int = 3) -> Measured:
    """A bright square in a disc, through four coils."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    image = np.where(np.hypot(y, x) < 0.8, 0.5, 0.0).astype(np.float32)
    image[10:18, 12:22] = 1
    maps, mask = simulate_maps((SIDE, SIDE), 4), drawn("random", (SIDE, SIDE), acceleration, 0.15, seed=1)
    kspace = simulate(torch.from_numpy(image).to(torch.complex64), maps, mask, 0.01, Keys.of(0, 1))
    return Measured(Slice("square", 0, image), acceleration, "true", maps, mask, kspace)


def objective(of: Measured, x: Tensor, weight: float) -> float:
    operator = peers.sense(of)
    pair = torch.stack([x.real, x.imag])[None].float()
    misfit = (operator(pair) - operator.measured(of.kspace)).abs().square().sum() / 2
    steps = torch.stack([x.roll(-1, 0) - x, x.roll(-1, 1) - x])
    return float(misfit + weight * steps.abs().square().sum(0).sqrt().sum())


def test_total_variation_is_at_its_minimum_after_the_iterations_that_it_is_given() -> None:
    of, weight = seen(), 4e-3
    found, longer = (peers.fista(of, weight, peers.Variation(), n) for n in (peers.ITERATIONS, 150))
    best = objective(of, longer, weight)
    assert objective(of, found, weight) <= 1.002 * best
    assert objective(of, peers.fista(of, weight, peers.Variation(), 5), weight) > 1.01 * best
    for seed in range(3):  # nothing near it is better
        near = longer + 1e-2 * torch.view_as_complex(Keys.of(seed, 1).normal(SIDE, SIDE, 2)[0].contiguous())
        assert objective(of, near, weight) > best


def test_the_adjoint_of_the_gradient_is_its_divergence() -> None:
    x, u = (torch.view_as_complex(Keys.of(k, 1).normal(*s, SIDE, SIDE, 2)[0]) for k, s in ((0, ()), (1, (2,))))
    one, other = (peers._gradient(x) * u.conj()).sum(), (x * peers._divergence(u).conj()).sum()
    assert abs(one - other) < 1e-3 * abs(one)


def test_shifted_thresholds_leave_the_image_where_it_is() -> None:
    image = torch.from_numpy(seen().of.magnitude).to(torch.complex64)
    pytest.importorskip("pywt")
    for _ in range(3):
        assert (peers.Shifted("haar", levels=3)(image, 0.0) - image).abs().max() < 1e-5


def test_total_variation_beats_the_zero_filled_image() -> None:
    of = seen()
    truth = of.of.magnitude

    def error(x: Tensor) -> float:
        return float(np.square(x.abs().numpy() - truth).mean())

    assert error(peers.fista(of, 4e-3, peers.Variation(), 30)) < 0.2 * error(peers.zero_filled(of))


def test_numbers_are_in_the_unit_of_the_volume() -> None:
    small = Slice("a", 0, np.eye(16, dtype=np.float32), 1.0)
    large = Slice("a", 1, np.eye(16, dtype=np.float32), 10.0)
    found = np.stack([small.magnitude + 0.1, large.magnitude + 0.1])
    numbers = accuracy([small, large], found)
    assert numbers["psnr"] == pytest.approx(20)
    assert numbers["psnr_volume"] == pytest.approx(10 * np.log10(100 / ((0.01 + 1) / 2)))


def test_rows_replace_those_of_the_same_reconstruction(tmp_path: Path) -> None:
    def row(psnr: float, method: str = "TV") -> Row:
        return Row("test", "S1", 1, 4, method, "true", psnr, psnr, 0.9, 0.9, 0.01, 1.0)

    path = tmp_path / "mri.jsonl"
    store([row(30.0), row(31.0, "ours")], path)
    store([row(32.0)], path)
    assert [(one.method, one.psnr) for one in stored(path)] == [("ours", 31.0), ("TV", 32.0)]
    assert "| S1 | 4 | true | TV | 32.00 |" in table(stored(path))
    assert "coverage" not in table(stored(path))
