"""Pictures, bound to the engine: Euclidean space, a U-Net, class labels, PNG files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...config import TrainConfig, require_in
from ...datasets import Arrays
from ...denoisers import Origin
from ...errors import InputError
from ...networks import UNet, UNetConfig
from ...report import pictures
from ...samples import Samples
from ...schedules import SCHEDULES
from ...spaces import Euclidean
from ...tasks import Figure, Request, Score, Task
from . import data, network, scores
from .factors import label


@dataclass(frozen=True)
class ImagesConfig:
    """A model of pictures.

    Attributes:
        data: digits, or the path of an .npz with `images` and `labels`.
        schedule: the noise schedule.
        network: the U-Net.
        train: the training.
    """

    data: str = "digits"
    schedule: Literal["cosine", "linear", "flow", "exploding", "edm"] = "cosine"
    network: UNetConfig = field(default_factory=UNetConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class ImagesAsk:
    """What to draw.

    Attributes:
        label: the classes, used in turn; all of them if not given.
        guidance: scale of classifier-free guidance, 1 = none.
    """

    label: tuple[int, ...] | None = None
    guidance: float = 1.0

    def __post_init__(self) -> None:
        require_in(self, "--", {"guidance": "[0, inf)"})
        if self.label == ():
            raise InputError("--label is empty, expected one class or more")


class Images(Task):
    """Pictures of classes."""

    name = "images"
    summary = "pictures of a class (digits, or your own .npz)"
    config = ImagesConfig
    ask = ImagesAsk

    def data(self, config: ImagesConfig) -> tuple[Arrays, Arrays]:
        return data.load(config.data)

    def space(self, config: ImagesConfig, facts: Mapping[str, Any]) -> Euclidean:
        return Euclidean(tuple(facts["shape"]), SCHEDULES[config.schedule](), facts["std"])

    def network(self, config: ImagesConfig, facts: Mapping[str, Any]) -> UNet:
        return network.build(config.network, facts)

    def null(self, config: ImagesConfig, facts: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return {"label": torch.tensor(-1)} if facts["classes"] else {}

    def request(self, ask: ImagesAsk, n: int, facts: Mapping[str, Any]) -> Request:
        classes = facts["classes"]
        if not classes:
            if ask != ImagesAsk():
                raise InputError("--label and --guidance are for models trained with labels; this one has none")
            return Request()
        wanted = ask.label if ask.label is not None else tuple(range(classes))
        for value in wanted:
            if not 0 <= value < classes:
                raise InputError(f"--label {value}: this model knows the classes 0 to {classes - 1}")
        labels = torch.tensor(wanted).repeat(-(-n // len(wanted)))[:n]
        return Request([label(scale=ask.guidance)], {"label": labels}, {"guidance": ask.guidance})

    def write(self, samples: Samples, folder: Path) -> None:
        """One PNG a sample, named by number and class, grid.png, and the film if the samples carry a film."""
        names = self._names(samples)
        for name, pixels in zip(names, data.to_bytes(samples.x), strict=True):
            (folder / name).write_bytes(pictures.png(pixels))
        for figure, name in zip(self.figures(samples), ("grid.png", "film.gif", "film.png"), strict=False):
            (folder / name).write_bytes(figure.image)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> Samples:
        files = sorted(name for name in manifest["files"] if name[0].isdigit())
        x = data.from_bytes(pictures.read(folder / name for name in files))
        origin = Origin(**manifest["model"])
        labels = [int(name.removesuffix(".png").split("-")[1]) for name in files if "-" in name]
        condition = {"label": torch.tensor(labels)} if labels else {}
        return Samples(x, condition, origin, (), manifest["nfe"], manifest["seconds"], manifest["settings"])

    def score(self, samples: Samples) -> list[Score]:
        assert samples.origin is not None
        source = samples.origin.config["data"]
        train, held_out = data.load(source)
        found, expected = train.facts["sha256"], samples.origin.facts["sha256"]
        if found != expected:
            raise InputError(f"{source}: changed since the training: SHA-256 {found[:16]}, expected {expected[:16]}")
        return scores.judged(samples.x, samples.condition.get("label"), train, held_out)

    def figures(self, samples: Samples) -> list[Figure]:
        columns = min(len(samples), 20)
        grid = Figure(pictures.png(self._tiled(samples.x, columns)), f"{len(samples)} samples", width=columns * 40)
        if not samples.film:
            return [grid]
        film = torch.stack([frame[:10] for frame in samples.film if isinstance(frame, Tensor)])
        return [grid, *self._film_figures(film)]

    def _film_figures(self, film: Tensor) -> list[Figure]:
        """The film (steps, n, c, h, w) as an animation and as a strip in which time runs to the right."""
        steps, n = film.shape[:2]
        shown = torch.linspace(0, steps - 1, min(steps, 14)).round().long()
        strip = self._tiled(film[shown].transpose(0, 1).flatten(0, 1), len(shown))
        frames = [self._tiled(frame, n) for frame in film[:: max(1, steps // 30)]] + [self._tiled(film[-1], n)]
        return [
            Figure(pictures.gif(frames), "From static to picture", "gif", n * 40),
            Figure(pictures.png(strip), f"The same step by step: {len(shown)} of {steps}", width=len(shown) * 40),
        ]

    def _names(self, samples: Samples) -> list[str]:
        labels = samples.condition.get("label")
        kinds = [f"-{value}" for value in labels.tolist()] if labels is not None else [""] * len(samples)
        return [f"{number:05d}{kind}.png" for number, kind in enumerate(kinds)]

    def _tiled(self, x: Tensor, columns: int) -> Any:
        pixels = data.to_bytes(x)
        return pictures.tile(pixels, columns, zoom=max(1, 40 // pixels.shape[1]))
