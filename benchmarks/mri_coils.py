"""Coil maps from the middle of k-space: ours beside sigpy's, and what they cost a reconstruction.

    make bench-env && .bench-env/bin/python benchmarks/mri_coils.py [--image slice.png] [--coils 8]

Coils and phase are simulated (retrospective), the noise is 0.01 of the image's maximum, the masks are fastMRI's
equispaced ones. `angle` is the one between true and estimated maps as vectors over the coils, in degrees, median and
95 % of the pixels with signal; `blind` the share of these in which the maps are 0; `lost` the share of the noiseless
coil images that the maps cannot explain, of their length; `PSNR` that of SENSE by conjugate gradients with a quadratic
penalty, the best of a few, of magnitudes by the image's maximum, with the true maps beside it.
"""

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from math import log10
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from ornstein.domains.mri.coils.espirit import espirit
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps, smooth_phase
from ornstein.domains.mri.sense import Sense
from ornstein.domains.mri.trajectories import masks
from ornstein.guidance.krylov import conjugate_gradients
from ornstein.keys import Keys

SIGMA = 0.01
PENALTIES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
CASES = {"R = 4, 8 %": (4, 0.08), "R = 8, 4 %": (8, 0.04)}


def picture(path: Path | None, side: int) -> Tensor:
    """An image of maximum 1 in the middle of a square: a file, or the Shepp–Logan phantom."""
    if path is None:
        found = torch.as_tensor(import_module("skimage.data").shepp_logan_phantom(), dtype=torch.float32)
        found = torch.nn.functional.interpolate(found[None, None], (side, side), mode="area")[0, 0]
    else:
        found = torch.tensor(import_module("numpy").asarray(import_module("PIL.Image").open(path).convert("L")))
        found = found[:side, :side].float()
    whole = torch.zeros(side, side)
    top, left = (side - found.shape[0]) // 2, (side - found.shape[1]) // 2
    whole[top : top + found.shape[0], left : left + found.shape[1]] = found / found.max()
    return whole


def ours(calibration: Tensor, side: int) -> Tensor:
    return espirit(calibration, (side, side))


def sigpy(calibration: Tensor, side: int, crop: float = 0.95) -> Tensor:
    """Its own settings, but for the width of the middle, which it takes as a square."""
    module = import_module("sigpy.mri.app")
    width = min(24, *calibration.shape[1:])
    whole = torch.zeros(len(calibration), side, side, dtype=torch.complex64)
    top, left = (side // 2 - n // 2 for n in calibration.shape[1:])
    whole[:, top : top + calibration.shape[1], left : left + calibration.shape[2]] = calibration
    app = module.EspiritCalib(whole.numpy(), calib_width=width, crop=crop, show_pbar=False)
    return torch.as_tensor(app.run())


METHODS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "ours": ours,
    "sigpy": sigpy,
    "sigpy, crop 0.8": lambda calibration, side: sigpy(calibration, side, 0.8),
}


def sense(maps: Tensor, mask: Tensor, kspace: Tensor, truth: Tensor) -> float:
    """PSNR of the best penalty."""
    operator = Sense(maps, mask)
    right = operator.adjoint(operator.measured(kspace)[None])
    found = []
    for penalty in PENALTIES:
        x = conjugate_gradients(lambda x, p=penalty: operator.normal(x) + p * x, right, 1e-4, 60).x
        error = (torch.hypot(*x[0]) - truth.abs()).square().mean()
        found.append(-10 * log10(float(error)))
    return max(found)


def measured(name: str, calibration: Tensor, side: int) -> tuple[Tensor, float, float]:
    """Maps, seconds, and MB that the peak of memory rose by, without the first use of the package."""
    torch.set_num_threads(1)
    METHODS[name](calibration[:2, :, :12], 32)
    before, begun = _peak(), time.perf_counter()
    maps = METHODS[name](calibration, side)
    return maps, time.perf_counter() - begun, _peak() - before


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="a picture in grey, of at most 256 × 256")
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    side, keys = options.side, Keys.of(0, 1)
    maps = simulate_maps((side, side), options.coils, keys)
    truth = picture(options.image, side) * smooth_phase((side, side), keys)[0]
    signal = truth.abs() > 0.05
    support = truth.abs() > 0  # the same for all: where maps are 0 nothing can be folded to
    fields = truth * maps
    print(
        f"{options.image or 'Shepp–Logan phantom'}, {side}², {options.coils} simulated coils, σ = {SIGMA}, one thread"
    )
    print("| case | maps | angle, median | 95 % | blind | lost | PSNR | seconds | memory, MB |\n" + "|---" * 9 + "|")
    for case, (acceleration, centre) in CASES.items():
        mask = masks.equispaced((side, side), acceleration, centre)
        kspace = simulate(truth, maps, mask, SIGMA, keys)
        rows, columns = masks.middle_of(mask)
        print(f"| {case} | true | | | | | {sense(maps * support, mask, kspace, truth):.2f} | | |")
        for name in METHODS:
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                found, seconds, memory = fresh.submit(measured, name, kspace[:, rows, columns], side).result()
            along = (found.conj() * maps).sum(0).abs().clamp(max=1)
            seen = signal & (found.abs().sum(0) > 0)
            angle = torch.rad2deg(along[seen].acos())
            lost = (fields - found * (found.conj() * fields).sum(0)).norm() / fields.norm()
            blind = 1 - float(seen.sum() / signal.sum())
            numbers = f"{angle.median():.2f} | {angle.quantile(0.95):.2f} | {blind:.1%} | {lost:.2%}"
            psnr = sense(found * support, mask, kspace, truth)
            print(f"| {case} | {name} | {numbers} | {psnr:.2f} | {seconds:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
