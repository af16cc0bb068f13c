"""Pictures, bound to the engine: Euclidean space, a U-Net, class labels, PNG files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...composition import mixture, product
from ...config import TrainConfig, require_in
from ...datasets import Arrays
from ...denoisers import Denoiser, Guide, NeuralDenoiser, Origin
from ...errors import InputError
from ...networks import UNet, UNetConfig
from ...report import pictures
from ...samples import Samples, sample
from ...schedules import SCHEDULES
from ...spaces import Euclidean
from ...tasks import Chapter, Figure, Request, Score, Task
from . import data, network, scores
from .factors import Ink, blurred, coarse, inpainted, label

SHOWN = 12


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
        measured: a PNG of what was seen of the picture; transparent pixels were not seen.
        through: what it was seen through: pixels as they are, a blur, or means of blocks (a smaller PNG).
        blur: width of the blur, pixels.
        noise: standard deviation of the measurement, on the scale from 0 (black) to 1 (white); 0 holds pixels exactly.
        ink: mean brightness that the pictures should have on average, from 0 to 1.
    """

    label: tuple[int, ...] | None = None
    guidance: float = 1.0
    measured: Path | None = None
    through: Literal["pixels", "blur", "blocks"] = "pixels"
    blur: float = 1.0
    noise: float = 0.05
    ink: float | None = None

    def __post_init__(self) -> None:
        if self.ink is not None and self.measured is not None:
            raise InputError("--ink is calibrated on the model, not on what was measured: give one of the two")
        require_in(self, "--", {"guidance": "[0, inf)", "blur": "(0, inf)", "noise": "[0, inf)", "ink": "(0, 1)"})
        if self.noise == 0 and self.through != "pixels":
            raise InputError("--noise 0 holds pixels exactly; through a blur or blocks give the noise there was")
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
        classes = _classes(ask, facts)
        known = self._known(ask, facts)
        record = {"guidance": ask.guidance, "measured": str(ask.measured) if ask.measured else None, "ink": ask.ink}
        if not known:
            return _of_classes(ask, classes, n, record) if classes else Request()
        if ask.label is not None and len(ask.label) > 1:
            raise InputError("--measured and --ink are for one picture or property: give one --label, or none")
        prompt = [label(value, ask.guidance) for value in ask.label or ()]
        return Request([*prompt, *known], {}, record)

    def _known(self, ask: ImagesAsk, facts: Mapping[str, Any]) -> list[Guide]:
        """What the flags say is known of each picture; InputError if the measured one is not of the model's kind."""
        ink = [Ink(ask.ink)] if ask.ink is not None else []
        if ask.measured is None:
            return list(ink)
        picture, seen = data.measured(ask.measured, facts["shape"][0])
        noise, shape = 2 * ask.noise, facts["shape"]  # the model's pictures go from −1 to 1
        if ask.through != "pixels" and not seen.all():
            raise InputError(f"{ask.measured}: has transparent pixels, which only --through pixels leaves out")
        if ask.through == "blocks":
            return [*ink, coarse(picture, data.block(picture, shape, ask.measured), noise)]
        data.require_shape(picture, shape, ask.measured)
        return [*ink, blurred(picture, ask.blur, noise) if ask.through == "blur" else inpainted(picture, seen, noise)]

    def write(self, samples: Samples, folder: Path) -> None:
        """One PNG a sample, named by number and class, grid.png; the film, or mean and spread of a measured picture."""
        names = self._names(samples)
        for name, pixels in zip(names, data.to_bytes(samples.x), strict=True):
            (folder / name).write_bytes(pictures.png(pixels))
        extra = ("mean-and-std.png",) if samples.settings.get("measured") else ("film.gif", "film.png")
        for figure, name in zip(self.figures(samples), ("grid.png", *extra), strict=False):
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
        grid = Figure(pictures.png(_tiled(samples.x, columns)), f"{len(samples)} samples", width=columns * 40)
        if samples.settings.get("measured"):
            return [grid, self._summary(samples.x)]
        if not samples.film:
            return [grid]
        film = torch.stack([frame[:10] for frame in samples.film if isinstance(frame, Tensor)])
        return [grid, *self._film_figures(film)]

    def chapters(self, denoiser: NeuralDenoiser, seed: int) -> list[Chapter]:
        assert denoiser.origin is not None
        return [_playground(denoiser, data.load(denoiser.origin.config["data"])[1], seed)]

    def _summary(self, x: Tensor) -> Figure:
        """The mean and, pixel by pixel, the standard deviation."""
        both = torch.stack([x.mean(0), x.std(0, correction=0) - 1])
        caption = f"Mean of {len(x)} samples, and their standard deviation (white = 1, half of the range)"
        return Figure(pictures.png(pictures.tile(data.to_bytes(both), 2, zoom=10)), caption, width=170)

    def _film_figures(self, film: Tensor) -> list[Figure]:
        """The film (steps, n, c, h, w) as an animation and as a strip in which time runs to the right."""
        steps, n = film.shape[:2]
        shown = torch.linspace(0, steps - 1, min(steps, 14)).round().long()
        strip = _tiled(film[shown].transpose(0, 1).flatten(0, 1), len(shown))
        frames = [_tiled(frame, n) for frame in film[:: max(1, steps // 30)]] + [_tiled(film[-1], n)]
        return [
            Figure(pictures.gif(frames), "From static to picture", "gif", n * 40),
            Figure(pictures.png(strip), f"The same step by step: {len(shown)} of {steps}", width=len(shown) * 40),
        ]

    def _names(self, samples: Samples) -> list[str]:
        labels = samples.condition.get("label")
        kinds = [f"-{value}" for value in labels.tolist()] if labels is not None else [""] * len(samples)
        return [f"{number:05d}{kind}.png" for number, kind in enumerate(kinds)]


def _tiled(x: Tensor, columns: int) -> Any:
    """The pictures x in rows of `columns`, each about 40 pixels high."""
    pixels = data.to_bytes(x)
    return pictures.tile(pixels, columns, zoom=max(1, 40 // pixels.shape[1]))


def _classes(ask: ImagesAsk, facts: Mapping[str, Any]) -> tuple[int, ...]:
    """The classes asked for, all if none are named; InputError if the model does not know them."""
    classes = facts["classes"]
    if not classes and (ask.label is not None or ask.guidance != 1):
        raise InputError("--label and --guidance are for models trained with labels; this one has none")
    wanted = ask.label if ask.label is not None else tuple(range(classes))
    for value in wanted:
        if not 0 <= value < classes:
            raise InputError(f"--label {value}: this model knows the classes 0 to {classes - 1}")
    return wanted


def _of_classes(ask: ImagesAsk, classes: tuple[int, ...], n: int, record: Mapping[str, Any]) -> Request:
    labels = torch.tensor(classes).repeat(-(-n // len(classes)))[:n]
    return Request([label(scale=ask.guidance)], {"label": labels}, record)


# What a model knows, shown on pictures it never saw ---------------------------------------------------


def _playground(model: Denoiser, held_out: Arrays, seed: int) -> Chapter:
    """Pictures from a quarter of their pixels, with what is left uncertain; and other things to say."""
    assert isinstance(held_out.x, Tensor)
    truths = held_out.x[:3]
    seen = torch.zeros(truths.shape[1:], dtype=torch.bool)
    seen[:, ::2, ::2] = True
    found = [_reconstructed(model, truth, seen, seed) for truth in truths]
    rows = torch.cat([_row(truth, seen, samples) for truth, samples in zip(truths, found, strict=True)])
    inside = torch.stack([_inside(truth, samples)[~seen] for truth, samples in zip(truths, found, strict=True)])
    smallest = min(min(samples.exactness.ess) for samples in found if samples.exactness)
    return Chapter(
        "Digits from a quarter of their pixels",
        f"Held-out digits, one pixel in four seen. From the left: the truth, what was seen, the mean of 64 particles "
        f"after 25 steps, their standard deviation, and {SHOWN} of them; the effective sample size is at least "
        f"{smallest:.0%} of 64. Below, the same model told other things.",
        [
            _shown(rows, SHOWN + 4, "truth · seen · mean · standard deviation · samples"),
            *(_shown(x, SHOWN, caption) for caption, x in _said(model, truths[0], seed)),
        ],
        [
            Score(
                "unseen pixels within two standard deviations",
                inside.double().mean().item(),
                "closer",
                "Share of the pixels that were not seen; a normal posterior would have .95.",
                0.95,
                "normal",
            )
        ],
    )


def _reconstructed(model: Denoiser, truth: Tensor, seen: Tensor, seed: int, n: int = 64) -> Samples:
    """Exact samples of a picture of which some pixels were seen."""
    return sample(model & inpainted(truth, seen, 0.15), n, 25, seed=seed, exact="particles", particles=n)


def _said(model: Denoiser, truth: Tensor, seed: int) -> list[tuple[str, Tensor]]:
    """The first held-out picture through worse glasses, and digits described in other words."""
    means = torch.nn.functional.avg_pool2d(truth, 2)
    three, eight = model & label(3), model & label(8)
    described = {
        "from the means of 2 × 2 pixels": model & coarse(means, 2, 0.05),
        "from a blur of one pixel": model & blurred(_blur(truth), 1.0, 0.05),
        "a 3 that is thick: mean brightness .4": three & Ink(0.4, 256),
        "a 3 or an 8 (mixture)": mixture([three, eight]),
        "a 3 and an 8 (product over all digits)": product(three, eight, model),
    }
    return [(caption, sample(denoiser, SHOWN, 20, seed=seed).x) for caption, denoiser in described.items()]


def _blur(truth: Tensor) -> Tensor:
    return blurred(truth, 1.0).operator(truth[None])[0]


def _row(truth: Tensor, seen: Tensor, samples: Samples) -> Tensor:
    shown = torch.where(seen, truth, -torch.ones_like(truth))
    summary = torch.stack([truth, shown, samples.x.mean(0), samples.x.std(0) - 1])
    return torch.cat([summary, samples.x[:: len(samples) // SHOWN][:SHOWN]])


def _inside(truth: Tensor, samples: Samples) -> Tensor:
    return (truth - samples.x.mean(0)).abs() < 2 * samples.x.std(0)


def _shown(x: Tensor, columns: int, caption: str) -> Figure:
    return Figure(pictures.png(_tiled(x, columns)), caption, width=40 * columns)
