"""The data: slices through volumes, each another picture, standardised as scans are before they are reconstructed.

    x = m · exp(−i arg ℓ)/s        real and imaginary part, (2, H, W) float32; see coils/phase.py

A slice is a function of its number alone: the volume, the plane, its deformation, contrast, shading, sharpness, noise
and phase. So a few volumes give thousands of pictures; what they do not give is other anatomy than that of these heads,
deformed. Most of what a network learns of them is local: records are windows, which cost a quarter of a slice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...files import MB, Within
from ...spectral.roots import Spectral
from ...spectral.shells import Shells
from ...spectral.transforms import periodic
from .coils.phase import standardised
from .volumes import appearance, planes
from .volumes.base import Library, Source, Volume, brains, of_folder

BRAINS = "brains"
"""The data set of what installs: Colin27 and MNI152."""
SHAPE, SLICES, HELD_OUT = (256, 256), 3000, 64
WINDOWS, TRIES = 256, 20
"""Windows of a slice; planes that are looked at for one."""
_MEASURED = 96  # records whose spectrum is taken
_PARTS = {"training": 0, "validation": 1, "measuring": 2, "windows": 3}

FACTS: Mapping[str, Any] = {
    "data": str,
    "shape": [Within(int, 1, 10**5)],
    "slice": [Within(int, 1, 10**5)],
    "pixel": Within(float, 1e-3, 1e3),
    "volumes": Within(int, 1, 10**9),
    "std": [Within(float, 1e-30, 1e30)],
    "spectrum": Shells.SCHEMA,
    "source": str,
}
"""What the metadata hold, for `Task.facts`."""


@dataclass(frozen=True, eq=False)
class Slices:
    """A Dataset of slices that are made when they are first asked for, and then kept while there is memory.

    Attributes:
        library: the volumes.
        shape: of the slices.
        pixel: their size, mm, about which it varies.
        part: "training", "validation" or "measuring"; no slice of one is a slice of another.
        count: slices.
        crop: the side of the windows that are learned from; None = whole slices.
        vary: how much planes differ.
        memory: MB of slices that are kept.
        metadata: of the data.
    """

    library: Library
    shape: tuple[int, int]
    pixel: float
    part: str
    count: int
    crop: int | None = None
    vary: planes.Variation = field(default_factory=planes.Variation)
    memory: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    _kept: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def sizes(self) -> None:
        return None

    def __len__(self) -> int:
        return self.count * (WINDOWS if self.crop is not None and self.part == "training" else 1)

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """States (batch, 2, h, w) float32; of windows, record k is one of slice k % count."""
        record = self._slice if self.crop is None else self._window
        return torch.stack([record(int(k)) for k in index]).float(), {}

    def _window(self, record: int) -> Tensor:
        """Of three places the one that shows most."""
        assert self.crop is not None
        picture, rng = self._slice(record % self.count), np.random.default_rng((_PARTS["windows"], record))
        h, w = (min(self.crop, n) for n in self.shape)
        places = [
            (int(rng.integers(self.shape[0] - h + 1)), int(rng.integers(self.shape[1] - w + 1))) for _ in range(3)
        ]
        windows = [picture[:, top : top + h, left : left + w] for top, left in places]
        return max(windows, key=lambda window: float(window.float().square().sum()))

    def _slice(self, number: int) -> Tensor:
        """In half precision, which is finer than the noise of any scan."""
        if (kept := self._kept.get(number)) is not None:
            return kept
        made = self._made(number).half()
        if (len(self._kept) + 1) * made.nbytes <= self.memory * MB:
            self._kept[number] = made
        return made

    def _made(self, number: int) -> Tensor:
        rng = np.random.default_rng((_PARTS[self.part], number))
        volume = self.library[self.library.chosen(rng.random())]
        picture, brain = max(self._planes(volume, rng), key=lambda shown: float((shown[0] > 0.1).mean()))
        return standardised(torch.from_numpy(appearance.varied(picture, brain, rng))).x

    def _planes(self, volume: Volume, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        """Planes until one shows a head: those beside it show nothing. At most `TRIES`, as some volumes are dark."""
        for _ in range(TRIES):
            shown = planes.drawn(volume, self.shape, self.pixel, rng, self.vary)
            yield shown
            if (shown[0] > 0.1).mean() > 0.02:
                return


def opened(
    data: str, shape: tuple[int, ...], pixel: float, count: int, memory: float, crop: int | None = None
) -> tuple[Slices, Slices]:
    """Slices to learn from, and others: of other volumes where there are ten or more, else other slices of the same.

    Args:
        data: "brains", or a folder of NIfTI files; "brains:FOLDER" for the files of these packages in a folder.
        shape: of the pictures.
        pixel: mm.
        count: slices to learn from.
        memory: MB in memory, of volumes and of slices each.
        crop: see `Slices`.
    """
    sources, held_out, said = _sources(data)
    size = (shape[0], shape[1])
    train = Slices(Library(sources, memory), size, pixel, "training", count, crop, memory=memory)
    other = train.library if held_out is sources else Library(held_out, memory)
    x, _ = replace(train, part="measuring", count=_MEASURED).batch(torch.arange(_MEASURED))
    basis = periodic()
    told = {
        "data": BRAINS if data.startswith(BRAINS) else "folder",
        "shape": [2, *(size if crop is None else (min(crop, n) for n in size))],
        "slice": list(size),
        "pixel": pixel,
        "volumes": len(sources),
        "std": x.double().square().mean((0, 2, 3)).sqrt().tolist(),
        "spectrum": Shells.of(basis.forward(x.double()).square().mean(0), basis).record(),
        "source": said,
    }
    train = replace(train, metadata=told)
    return train, replace(train, library=other, part="validation", count=HELD_OUT)


def _sources(data: str) -> tuple[list[Source], list[Source], str]:
    name, _, folder = data.partition(":")
    if name == BRAINS:
        sources = brains(Path(folder) if folder else None)
        said = (
            "Colin27 (Debian's mricron-data; BSD-3-Clause) and MNI152 ICBM 2009a (nilearn; MNI's licence, which allows "
            "any use with the copyright notice), deformed, with other contrasts, shading, noise and phase"
        )
        return sources, sources, said
    if not Path(data).is_dir():
        raise InputError(f"data is {data!r}, expected {BRAINS!r}, or a folder of NIfTI files")
    sources = of_folder(Path(data))
    few = len(sources) < 10
    train, held_out = (
        (sources, sources) if few else (sources[: -(len(sources) // 10)], sources[-(len(sources) // 10) :])
    )
    return train, held_out, f"{len(sources)} volumes of the user's folder {Path(data).name}"


def spread(metadata: Mapping[str, Any]) -> Float[Tensor, "2 1 1"]:
    """Root mean square of real and imaginary part, in units of a state.

    Args:
        metadata: of the data.
    """
    return torch.tensor(metadata["std"])[:, None, None]


def spectrum(metadata: Mapping[str, Any]) -> Spectral:
    """The covariance of a model's states on the grid that the metadata name, were they Gaussian waves."""
    return Shells.from_record(metadata["spectrum"], "metadata: spectrum").at(tuple(metadata["shape"])).spectral
