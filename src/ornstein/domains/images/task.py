"""Pictures, bound to the engine: Euclidean space, a U-Net, classes and captions, PNG files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...config import TrainConfig, require_in, require_with
from ...denoisers.base import Condition, Denoiser, Guide, NeuralDenoiser, Origin
from ...denoisers.composition import Autoguide, mixture, product
from ...denoisers.regressors import Regressor
from ...errors import InputError
from ...guidance.operators import Blur
from ...networks import PatchTransformerConfig, UNetConfig
from ...report import pictures, walls
from ...schedules import SCHEDULES
from ...spaces import Euclidean
from ...states import State
from ...tasks.drawing import sample
from ...tasks.figures import Chapter, Figure, Score
from ...tasks.requests import draw
from ...tasks.runs import load
from ...tasks.samples import Samples
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import data, network, scores
from .factors import Ink, blurred, class_of, coarse, inpainted, label, prompts
from .pixels import read
from .vision import captions
from .vision.examples import PROMPTS, TWO
from .vision.folders import fitted
from .vision.judges import Judge
from .vision.prompts import Phrase, said

SHOWN = 12
GUIDANCE = 3.0  # by prompts, if not said
WAY = 8  # pictures from one end of a prompt with TO to the other, if not said
ALWAYS = (0.0, 1.0)
STOCHASTIC: Mapping[str, Any] = {"eta": 1.0, "order": 2, "grid": "asinh"}
"""How pictures of prompts are drawn: fresh noise mends what guidance overdoes."""
QUICK = 12  # steps, in the tour


@dataclass(frozen=True)
class ImagesConfig:
    """A model of pictures.

    Attributes:
        data: digits, fashion, openmoji, emoji (the styles alone), a folder of pictures, or an .npz with `images` and
            `labels`.
        size: pixels a side, to which emoji and the pictures of a folder are brought; 0 = as they are.
        styles: of emoji beside OpenMoji's own: folders of Iconify's npm packages, such as
            node_modules/@iconify-json/twemoji.
        judge: learn to tell real pictures apart, to judge drawn ones by, instead of drawing.
        schedule: the noise schedule.
        architecture: what draws.
        network: the U-Net, or what a judge has of it: its way down.
        transformer: the transformer over patches, if that is the architecture.
        train: the training.
    """

    data: str = "digits"
    size: int = 32
    styles: tuple[str, ...] = ()
    judge: bool = False
    schedule: Literal["cosine", "linear", "flow", "exploding", "edm"] = "cosine"
    architecture: Literal["unet", "transformer"] = "unet"
    network: UNetConfig = field(default_factory=UNetConfig)
    transformer: PatchTransformerConfig = field(default_factory=PatchTransformerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class ImagesAsk:
    """What to draw.

    Attributes:
        prompt: what the pictures show, used in turn: words, "a cat AND sunglasses:0.7" (both), "a cat @noto" (in a
            style), "a cat TO a dog" (from one to the other); the data's captions if not given.
        negative: what they should not show.
        label: the classes or styles by name or number, used in turn; all classes, or the first style, if not given.
        guidance: scale of classifier-free guidance, 1 = none; 1 for classes and 3 for prompts if not given.
        interval: the times within which guidance holds, of 0 (picture) to 1 (static); all if not given.
        way: how many pictures lie on the way of a prompt with TO; 8 if not given.
        weak: a run folder of a weaker model of the same data, to be guided away from.
        autoguidance: scale of that guidance, 1 = none; 2 if not given.
        reference: a picture to begin with.
        strength: the time up to which the reference is noised: near 0 it stays, 1 forgets it; 0.5 if not given.
        measured: a PNG of what was seen of the picture; transparent pixels were not seen.
        mask: a PNG, white where the measured picture is to be drawn anew.
        through: what it was seen through: pixels as they are, a blur, or means of blocks (a smaller PNG).
        blur: width of the blur, pixels; 1 if not given.
        noise: standard deviation of the measurement, on the scale from 0 (black) to 1 (white); 0 holds pixels exactly;
            0.05 if not given.
        ink: mean brightness that the pictures should have on average, from 0 to 1.
    """

    prompt: tuple[str, ...] = ()
    negative: str = ""
    label: tuple[int | str, ...] | None = None
    guidance: float | None = None
    interval: tuple[float, float] | None = None
    way: int | None = None
    weak: Path | None = None
    autoguidance: float | None = None
    reference: Path | None = None
    strength: float | None = None
    measured: Path | None = None
    mask: Path | None = None
    through: Literal["pixels", "blur", "blocks"] | None = None
    blur: float | None = None
    noise: float | None = None
    ink: float | None = None

    def __post_init__(self) -> None:
        if self.ink is not None and self.measured is not None:
            raise InputError("--ink is calibrated on the model, not on what was measured: give one of the two")
        require_in(self, "--", {"blur": "(0, inf)", "noise": "[0, inf)", "ink": "(0, 1)", "interval": "[0, 1]"})
        require_in(self, "--", {"guidance": "[0, inf)", "autoguidance": "[0, inf)", "strength": "(0, 1]"})
        require_in(self, "--", {"way": "[2, inf)"})
        if self.interval is not None and not self.interval[0] < self.interval[1]:
            raise InputError(f"--interval is {self.interval}, expected two times of which the first is smaller")
        if self.noise == 0 and self.through not in (None, "pixels"):
            raise InputError("--noise 0 holds pixels exactly; through a blur or blocks give the noise there was")
        if self.label == ():
            raise InputError("--label is empty, expected one class or more")
        known = dict.fromkeys(("mask", "through", "noise"), ("measured",))
        require_with(self, "--", {**known, "strength": ("reference",), "autoguidance": ("weak",), "way": ("prompt",)})
        if self.blur is not None and self.through != "blur":
            raise InputError("--blur is the width of --through blur: give it, too")


class Images(Task):
    """Pictures of classes, or of what captions say."""

    name = "images"
    summary = "pictures from words or classes (emoji, clothes, digits, or your own)"
    config = ImagesConfig
    ask = ImagesAsk
    shown = 100

    def data(self, config: ImagesConfig) -> tuple[Dataset, Dataset]:
        return data.load(config.data, config.size, config.styles)

    def describe(self, data: Dataset, validation: Dataset) -> str:
        reasons = data.facts.get("left out", [])
        shown = "".join(f"\n  left out: {reason}" for reason in reasons[:20]) + ("\n  …" if len(reasons) > 20 else "")
        return super().describe(data, validation) + (f"; {len(reasons)} files left out{shown}" if reasons else "")

    def space(self, config: ImagesConfig, facts: Mapping[str, Any]) -> Euclidean:
        return Euclidean(tuple(facts["shape"]), SCHEDULES[config.schedule](), facts["std"])

    def network(self, config: ImagesConfig, facts: Mapping[str, Any]) -> nn.Module:
        if config.judge:
            return network.build_judge(config.network, facts)
        return network.build(config.network if config.architecture == "unet" else config.transformer, facts)

    def null(self, config: ImagesConfig, facts: Mapping[str, Any]) -> Mapping[str, Tensor]:
        label = {"label": torch.tensor(-1)} if facts["classes"] else {}
        return label | ({"caption": torch.zeros(captions.WORDS, captions.WIDTH)} if facts.get("caption") else {})

    def model(
        self, config: ImagesConfig, facts: Mapping[str, Any], origin: Origin | None = None
    ) -> NeuralDenoiser | Regressor:
        made = self.denoiser(config, facts, origin)
        target = "caption" if facts.get("caption") else "label"
        return Judge(made.network, made.space, target, True, origin) if config.judge else made

    def request(self, ask: ImagesAsk, numbers: range, facts: Mapping[str, Any]) -> Request:
        known, weak = self._known(ask, facts), []
        if ask.weak is not None:
            scale = 2.0 if ask.autoguidance is None else ask.autoguidance
            weak = [Autoguide(load(ask.weak), scale, ask.interval or ALWAYS)]
        of = _of_captions if facts.get("caption") else _of_classes
        request = of(ask, numbers, facts, known)
        request = replace(request, guides=[*weak, *request.guides, *known])
        if ask.reference is None:
            return request
        picture = data.from_bytes(fitted(ask.reference, facts["shape"][1])[None])
        grey = picture.mean(1, keepdim=True) if facts["shape"][0] == 1 else picture
        data.require_shape(grey[0], facts["shape"], ask.reference)
        strength = 0.5 if ask.strength is None else ask.strength
        return replace(request, start=grey.repeat(len(numbers), 1, 1, 1), strength=strength)

    def _known(self, ask: ImagesAsk, facts: Mapping[str, Any]) -> list[Guide]:
        """What the flags say is known of each picture; InputError if the measured one is not of the model's kind."""
        ink = [Ink(ask.ink)] if ask.ink is not None else []
        if ask.measured is None:
            return list(ink)
        picture, seen = data.measured(ask.measured, facts["shape"][0])
        if ask.mask is not None:
            seen = seen & (data.masked(ask.mask, picture.shape) < 0)
        noise = 2 * (0.05 if ask.noise is None else ask.noise)  # the model's pictures go from −1 to 1
        shape, width = facts["shape"], 1.0 if ask.blur is None else ask.blur
        if ask.through not in (None, "pixels") and not seen.all():
            raise InputError(f"{ask.measured}: has pixels that were not seen, which only --through pixels leaves out")
        if ask.through == "blocks":
            return [*ink, coarse(picture, data.block(picture, shape, ask.measured), noise)]
        data.require_shape(picture, shape, ask.measured)
        return [*ink, blurred(picture, width, noise) if ask.through == "blur" else inpainted(picture, seen, noise)]

    def write(self, samples: Samples, folder: Path) -> None:
        """A PNG of each sample, named by number and what it shows, a grid, and a film or mean and spread."""
        names = self._names(samples)
        for name, pixels in zip(names, walls.to_bytes(samples.x), strict=True):
            (folder / name).write_bytes(pictures.png(pixels))
        extra = ("mean-and-std.png",) if samples.settings.get("measured") else ("film.gif", "film.png")
        for figure, name in zip(self.figures(samples), ("grid.png", *extra), strict=False):
            (folder / name).write_bytes(figure.image)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        files = sorted(name for name in manifest["files"] if name[0].isdigit())
        x = data.from_bytes(read(folder / name for name in files))
        said = (manifest.get("each") or {}).get("labels")
        labels = said or [int(_LABEL.findall(name)[0]) for name in files if _LABEL.search(name)]
        return x, {"label": torch.tensor(labels)} if labels else {}

    def score(self, samples: Samples) -> list[Score]:
        assert samples.origin is not None
        config = samples.origin.config
        train, held_out = data.yardstick(config["data"], config.get("size", 32), samples.origin.facts)
        return scores.judged(samples, train, held_out)

    def predictions(self, regressor: Regressor) -> list[Score]:
        assert isinstance(regressor, Judge)
        assert regressor.origin is not None
        return scores.of_judge(regressor, regressor.origin.config["data"])

    def figures(self, samples: Samples) -> list[Figure]:
        grid = walls.wall(samples.x, min(len(samples), 20), f"{len(samples)} samples")
        if samples.settings.get("measured"):
            return [grid, walls.summary(samples.x)]
        return [grid, *(walls.film(samples.film) if samples.film else [])]

    def chapters(self, denoiser: NeuralDenoiser, seed: int) -> list[Chapter]:
        assert denoiser.origin is not None
        if denoiser.origin.facts.get("caption"):
            return [_words(denoiser, seed)]
        digits = denoiser.origin.config["data"] == "digits"
        return [_playground(denoiser, data.digits()[1], seed)] if digits else []

    def _names(self, samples: Samples) -> list[str]:
        kinds = [_slug(prompt) for prompt in samples.each.get("prompts", ())]
        label = samples.condition.get("label")
        if not kinds and label is not None:
            kinds = [str(value) for value in label.tolist()]
        return [
            f"{number:05d}{f'-{kind}' if kind else ''}.png"
            for number, kind in enumerate(kinds or [""] * len(samples), samples.first)
        ]


_LABEL = re.compile(r"^\d+-(\d+)\.png$")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]


def _of_classes(ask: ImagesAsk, numbers: range, facts: Mapping[str, Any], known: Sequence[Guide]) -> Request:
    """The classes asked for in turn, all if none are named; InputError if the model does not know them."""
    classes, scale = facts["classes"], 1.0 if ask.guidance is None else ask.guidance
    if ask.prompt or ask.negative:
        raise InputError("--prompt and --negative are for models trained with captions; this one has none")
    if not classes and (ask.label is not None or ask.guidance is not None):
        raise InputError("--label and --guidance are for models trained with labels; this one has none")
    wanted = [class_of(value, facts) for value in ask.label] if ask.label else list(range(classes))
    if ask.interval is not None and ask.weak is None and scale == 1:
        raise InputError("--interval says when guidance holds: give --guidance, too")
    if known and ask.label is None and ask.guidance is not None:
        raise InputError("--guidance is by a class: give one --label, too")
    if not classes or (known and ask.label is None):
        return Request()
    if known and len(wanted) > 1:
        raise InputError("--measured and --ink are for one picture or property: give one --label, or none")
    if known:
        return Request([label(wanted[0], scale, ask.interval or ALWAYS)], record={"guidance": scale})
    labels = torch.tensor([wanted[k % len(wanted)] for k in numbers])
    return Request([label(None, scale, ask.interval or ALWAYS)], {"label": labels}, {"guidance": scale})


def _of_captions(ask: ImagesAsk, numbers: range, facts: Mapping[str, Any], known: Sequence[Guide]) -> Request:
    """The prompts in turn, spread over the data's captions if there are none, each in the styles in turn."""
    scale, names = GUIDANCE if ask.guidance is None else ask.guidance, facts["captions"]
    if known and (len(ask.prompt) > 1 or len(ask.label or ()) > 1):
        raise InputError("--measured and --ink are for one picture or property: give one --prompt and --label at most")
    if not facts["classes"] and ask.label is not None:
        raise InputError("--label is for models trained with classes or styles; this one has none")
    asked = ask.prompt or (("",) if known else _spread(names))
    styles = [class_of(value, facts) for value in ask.label or (0,)] if facts["classes"] else [-1]
    each, way = [asked[k % len(asked)] for k in numbers], ask.way or WAY
    if ask.way is not None and not any(" TO " in prompt for prompt in asked):
        raise InputError("--way counts the pictures on the way of a prompt with TO, as in 'a cat TO a dog'")
    rounds = [k // len(asked) for k in numbers]
    phrases = [said(one, k % way / (way - 1)) if one else [] for one, k in zip(each, rounds, strict=True)]
    labels = [styles[k % len(styles)] for k in rounds]
    phrases = [[_numbered(phrase, facts) for phrase in one] for one in phrases]
    guide, condition = prompts(phrases, labels, scale, ask.negative, ask.interval or ALWAYS)
    said_of_each = {"prompts": each, "labels": labels}
    return Request([guide], condition, {"guidance": scale}, said_of_each, STOCHASTIC)


def _numbered(phrase: Phrase, facts: Mapping[str, Any]) -> Phrase:
    """With the number of the class that it names; InputError if the model does not know it."""
    return phrase if phrase.label is None else replace(phrase, label=class_of(phrase.label, facts, "prompt: @"))


def _spread(names: Sequence[str]) -> tuple[str, ...]:
    """All names in an order of which every beginning is spread evenly over them."""
    stride = round(len(names) * 0.6180339887498949)
    while gcd(stride, len(names)) > 1:
        stride += 1
    return tuple(names[k * stride % len(names)] for k in range(len(names)))


# What words can say -----------------------------------------------------------------------------------


def _words(model: NeuralDenoiser, seed: int) -> Chapter:
    """A wall of prompts, its film, styles mixed, two things in one picture, and the way from one to another."""
    assert model.origin is not None
    styles = model.origin.facts["labels"] or [""]
    said = {
        "what emoji show, and from the 17th on what none of them does": PROMPTS,
        "in each style, and in two at once": tuple(
            prompt
            for text in PROMPTS[:4]
            for prompt in (*(f"{text} @{style}" for style in styles), _mixed(text, styles))
        ),
        "two things, each as a prompt of its own": tuple(f"{a} AND {b}" for a, b in TWO[:12]),
        "the same, joined by a word": tuple(f"{a} and {b}" for a, b in TWO[:12]),
        "from a red heart to a yellow star": ("a red heart TO a yellow star",) * WAY,
    }
    figures = []
    for caption, asked in said.items():
        samples = draw(
            model,
            ImagesAsk(prompt=tuple(dict.fromkeys(asked))),
            len(asked),
            steps=QUICK,
            seed=seed,
            film=True if asked == PROMPTS else None,
        )
        figures += [
            walls.wall(samples.x, min(len(asked), 16), caption),
            *(walls.film(samples.film) if samples.film else []),
        ]
    return Chapter(
        "Pictures from words",
        f"<code>ornstein sample images/openmoji --prompt …</code>, {QUICK} steps each. A composition is the product of "
        "two denoisers over what both have in common, so that it needs no picture of both to learn from.",
        figures,
    )


def _mixed(text: str, styles: Sequence[str]) -> str:
    return f"{text} @{styles[0]}:0.5 AND {text} @{styles[-1]}:0.5"


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
            walls.wall(rows, SHOWN + 4, "truth · seen · mean · standard deviation · samples"),
            *(walls.wall(x, SHOWN, caption) for caption, x in _said(model, truths[0], seed)),
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
    return Blur.gaussian(1.0)(truth[None])[0]


def _row(truth: Tensor, seen: Tensor, samples: Samples) -> Tensor:
    shown = torch.where(seen, truth, -torch.ones_like(truth))
    summary = torch.stack([truth, shown, samples.x.mean(0), samples.x.std(0) - 1])
    return torch.cat([summary, samples.x[:: len(samples) // SHOWN][:SHOWN]])


def _inside(truth: Tensor, samples: Samples) -> Tensor:
    return (truth - samples.x.mean(0)).abs() < 2 * samples.x.std(0)
