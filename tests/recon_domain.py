"""A model of slices for tests of reconstructions: an untrained U-Net, which is exact for a Gaussian prior."""

from pathlib import Path
from typing import Any

import torch

from ornstein import Keys
from ornstein.config import to_dict
from ornstein.denoisers.base import NeuralDenoiser, Origin
from ornstein.domains.mri.coils.simulate import simulate, simulate_maps
from ornstein.domains.mri.scans.npz import write_npz
from ornstein.domains.mri.task import Mri, MriConfig
from ornstein.domains.mri.trajectories.masks import uniform
from ornstein.networks.unet import UNetConfig
from ornstein.spectral.shells import Shells
from ornstein.spectral.transforms import periodic

SMALL = UNetConfig(4, (1,), 1, ())
SHAPE = (32, 24)


def model(shape: tuple[int, int] = SHAPE, std: float = 0.3, window: tuple[int, int] | None = None) -> NeuralDenoiser:
    """Of the domain "mri", of white images, as if trained on windows of them, or on whole ones."""
    config, records = MriConfig(shape=shape, network=SMALL), window or shape
    power = torch.full((2, *records), std**2).double()
    metadata = {"data": "folder", "shape": [2, *records], "slice": [*shape], "pixel": 1.0, "volumes": 1}
    metadata |= {"std": [std, std]}
    metadata |= {"spectrum": Shells.of(power, periodic()).record(), "source": "none"}
    return Mri().denoiser(config, metadata, Origin("mri", "small", to_dict(config), metadata, "0" * 64))


def scan(path: Path, slices: int = 2, coils: int = 4, sigma: float = 0.05, scale: float = 7.0, **said: Any) -> Path:
    """Writes an .npz of slices that are white, times a scale, but for the first waves, which make them bright."""
    maps = simulate_maps(SHAPE, coils)
    white = torch.view_as_complex(Keys.of(3, slices).normal(*SHAPE, 2).float())
    truths = scale * white
    masks = torch.stack([uniform(SHAPE, 2, 0.3, seed=1, slice=k) for k in range(slices)])
    kspace = torch.stack(
        [simulate(truths[k], maps, masks[k], sigma * scale, Keys.of(5, range(k, k + 1))) for k in range(slices)]
    )
    given = {"maps": maps.numpy(), "sigma": sigma * scale, "truth": truths.numpy(), "mask": masks.numpy()}
    write_npz(path, kspace.numpy(), voxel_size=(3.0, 1.0, 1.2), **{**given, **said})
    return path
