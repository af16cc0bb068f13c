"""Pictures, bound to the engine: Euclidean space, a U-Net, classes and captions, PNG files."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...config import TrainConfig, require_in, require_with
from ...denoisers.base import Condition, Denoiser, Guide, NeuralDenoiser, Origin
from ...denoisers.composition import Autoguidance, mixture, product
from ...denoisers.regressors import Regressor
from ...deprecation import renamed
from ...errors import InputError
from ...events import Stream, part
from ...files import Within, require
from ...guidance.operators import Blur
from ...networks import PatchTransformerConfig, UNetConfig
from ...report import pictures, walls
from ...schedules import SCHEDULES
from ...spaces import Euclidean
from ...states import State
from ...tasks.drawing import draws, sample
from ...tasks.engines import Population
from ...tasks.figures import Chapter, Figure, Metric, Stop
from ...tasks.requests import drawing
from ...tasks.samples import MANIFEST, Samples, native
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import data, metrics, network
from .factors import Brightness, blurred, class_of, coarse, inpainted, label, prompts, weaker
from .pixels import read
from .vision import captions
from .vision.examples import PROMPTS, TWO
from .vision.folders import fitted
from .vision.judges import Judge
from .vision.prompts import Phrase, parsed, said, written

SHOWN = 12
GUIDANCE = 3.0  # by prompts, if not said
WAY = 8  # pictures from one end of a prompt with TO to the other, if not said
ALWAYS = (0.0, 1.0)
STOCHASTIC: Mapping[str, Any] = {"eta": 1.0, "order": 2, "grid": "asinh"}
"""How pictures of prompts are drawn: fresh noise mends what guidance overdoes."""
QUICK = 12  # steps, in the tour
EACH = 3  # pictures a held-out caption, on the card


@dataclass(frozen=True)
class ImagesConfig:
    """A model of pictures.

    Attributes:
        data: digits, fashion, openmoji, emoji (the styles alone), a folder of pictures, or an .npz with `images` and
            `labels`.
        size: pixels a side, to which emoji and the pictures of a folder are brought; 0 = as they are.
        caption_column: of a folder's metadata.csv or metadata.jsonl, that holds the captions; text, caption or prompt,
            whichever there is, if empty.
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
    caption_column: str = ""
    styles: tuple[str, ...] = ()
    judge: bool = False
    schedule: Literal["cosine", "linear", "flow", "exploding", "edm"] = "cosine"
    architecture: Literal["unet", "transformer"] = "unet"
    network: UNetConfig = field(default_factory=UNetConfig)
    transformer: PatchTransformerConfig = field(default_factory=PatchTransformerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@renamed(ink="brightness", through="operator", measured="observation", weak="weak_model")
@dataclass(frozen=True)
class ImagesRequest:
    """What to draw.

    Attributes:
        prompt: what the pictures show, used in turn: words, "a cat AND sunglasses:0.7" (both), "a cat @noto" (in a
            style), "a cat TO a dog" (from one to the other); the data's captions if not given. A backslash before
            AND, TO, : or @ makes it text.
        captions: which captions of the data, without prompts: those that the model learned, or those held out, which
            no training picture has; learned if not given.
        negative: what they should not show.
        label: the classes or styles by name or number, used in turn; all classes, or the first style, if not given.
        guidance: scale of classifier-free guidance, 1 = none; 1 for classes and 3 for prompts if not given.
        interval: the times within which guidance holds, of 0 (picture) to 1 (static); all if not given.
        way: how many pictures lie on the way of a prompt with TO; 8 if not given.
        weak_model: a run folder of a weaker model of the same data, to be guided away from.
        autoguidance: scale of that guidance, 1 = none; 2 if not given.
        reference: a picture to begin with.
        strength: the time up to which the reference is noised: near 0 it stays, 1 forgets it; 0.5 if not given.
        observation: a PNG of what was seen of the picture; transparent pixels were not seen.
        mask: a PNG, white where the measured picture is to be drawn anew.
        operator: what it was seen through: pixels as they are, a blur, or means of blocks (a smaller PNG).
        blur: width of the blur, pixels; 1 if not given.
        noise: standard deviation of the measurement, on the scale from 0 (black) to 1 (white); 0 holds pixels exactly;
            0.05 if not given.
        brightness: mean brightness that the pictures should have on average, from 0 to 1.
    """

    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "what the pictures show": ("prompt", "negative", "label", "guidance", "interval", "way"),
        "a weaker model to be guided away from": ("weak_model", "autoguidance"),
        "a picture to begin with": ("reference", "strength"),
        "a measurement of the picture": ("observation", "mask", "operator", "blur", "noise"),
        "all of them together": ("brightness",),
    }

    prompt: tuple[str, ...] = ()
    captions: Literal["learned", "held-out"] | None = None
    negative: str = ""
    label: tuple[int | str, ...] | None = None
    guidance: float | None = None
    interval: tuple[float, float] | None = None
    way: int | None = None
    weak_model: Path | None = None
    autoguidance: float | None = None
    reference: Path | None = None
    strength: float | None = None
    observation: Path | None = None
    mask: Path | None = None
    operator: Literal["pixels", "blur", "blocks"] | None = None
    blur: float | None = None
    noise: float | None = None
    brightness: float | None = None

    def __post_init__(self) -> None:
        if self.brightness is not None and self.observation is not None:
            raise InputError("--brightness is calibrated on the model, not on what was measured: give one of the two")
        require_in(self, "--", {"blur": "(0, 1000]", "noise": "[0, inf)", "brightness": "(0, 1)", "interval": "[0, 1]"})
        require_in(self, "--", {"guidance": "[0, 1e6]", "autoguidance": "[0, 1e6]", "strength": "(0, 1]"})
        require_in(self, "--", {"way": "[2, inf)"})
        if self.interval is not None and not self.interval[0] < self.interval[1]:
            raise InputError(f"--interval is {self.interval}, expected two times of which the first is smaller")
        if self.noise == 0 and self.operator not in (None, "pixels"):
            raise InputError("--noise 0 holds pixels exactly; through a blur or blocks give the noise there was")
        if self.label == ():
            raise InputError("--label is empty, expected one class or more")
        if self.captions is not None and self.prompt:
            raise InputError("--captions takes what to draw from the data, --prompt says it: give one of the two")
        known = dict.fromkeys(("mask", "operator", "noise"), ("observation",))
        require_with(
            self, "--", {**known, "strength": ("reference",), "autoguidance": ("weak_model",), "way": ("prompt",)}
        )
        if self.blur is not None and self.operator != "blur":
            raise InputError("--blur is the width of --operator blur: give it, too")


class Images(Task):
    """Pictures of classes, or of what captions say."""

    name = "images"
    summary = "pictures from words or classes (emoji, clothes, digits, or your own)"
    config = ImagesConfig
    request_type = ImagesRequest
    data_sets: ClassVar[Collection[str]] = ("digits", "fashion", "openmoji", "emoji")
    facts: ClassVar[Mapping[str, Any]] = {
        "shape": [Within(int, 1, 4), Within(int, 1, 4096), Within(int, 1, 4096)],
        "classes": Within(int, 0, 10**5),
        "std": Within(float, 1e-6, 10),
        "labels?": [str],
        "caption?": Within(int, 0, 10**5),
        "captions?": [str],
        "source": str,
        "sha256?": str,
    }
    examples = (
        'sample images/openmoji --prompt "a red heart" --n 16',
        'sample images/openmoji --prompt "a cat AND sunglasses:0.7" --trajectory',
        "sample images/digits --label 3 --guidance 2",
        "sample images/digits --observation seen.png --noise 0.05 --exact particles",
        "train images/digits --train.minutes 10",
        "train images --data my/pictures --size 32",
    )
    renamed_flags: ClassVar[Mapping[str, str]] = {
        "--ink": "--brightness",
        "--through": "--operator",
        "--measured": "--observation",
        "--weak": "--weak-model",
    }
    n_tour = 100
    n_glance = 20
    glance: ClassVar[Mapping[str, Any]] = {"steps": QUICK, "batch_size": 20}

    def data(self, config: ImagesConfig) -> tuple[Dataset, Dataset]:
        return data.load(config.data, config.size, config.styles, config.caption_column)

    def describe(self, data: Dataset, validation: Dataset) -> str:
        reasons = data.metadata.get("left out", [])
        shown = "".join(f"\n  left out: {reason}" for reason in reasons[:20]) + ("\n  …" if len(reasons) > 20 else "")
        notes = "".join(f"\n  {note}" for note in data.metadata.get("notes", []))
        left_out = f"; {len(reasons)} files left out{shown}" if reasons else ""
        return super().describe(data, validation) + left_out + notes

    def judged_on(self, metadata: Mapping[str, Any]) -> Sequence[tuple[ImagesRequest, int]]:
        """Captions that were learned and, a few pictures each, those that were not."""
        usual, held_out = super().judged_on(metadata), len(metadata.get("held-out captions", ()))
        return [*usual, *([(ImagesRequest(captions="held-out"), EACH * held_out)] if held_out else [])]

    def space(self, config: ImagesConfig, metadata: Mapping[str, Any]) -> Euclidean:
        return Euclidean(tuple(metadata["shape"]), SCHEDULES[config.schedule](), metadata["std"])

    def network(self, config: ImagesConfig, metadata: Mapping[str, Any]) -> nn.Module:
        if config.judge:
            return network.build_judge(config.network, metadata)
        return network.build(config.network if config.architecture == "unet" else config.transformer, metadata)

    def unconditional(self, config: ImagesConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        label = {"label": torch.tensor(-1)} if metadata["classes"] else {}
        return label | ({"caption": torch.zeros(captions.WORDS, captions.WIDTH)} if metadata.get("caption") else {})

    def model(
        self, config: ImagesConfig, metadata: Mapping[str, Any], origin: Origin | None = None
    ) -> NeuralDenoiser | Regressor:
        made = self.denoiser(config, metadata, origin)
        target = "caption" if metadata.get("caption") else "label"
        return Judge(made.network, made.space, target, True, origin) if config.judge else made

    def request(self, asked: ImagesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        known, weak = self._known(asked, metadata), []
        if asked.weak_model is not None:
            scale = 2.0 if asked.autoguidance is None else asked.autoguidance
            weak = [Autoguidance(weaker(asked.weak_model, metadata), scale, asked.interval or ALWAYS)]
        of = _of_captions if metadata.get("caption") else _of_classes
        request = of(asked, numbers, metadata, known)
        request = replace(request, guides=[*weak, *request.guides, *known])
        if asked.reference is None:
            return request
        picture = data.from_bytes(fitted(asked.reference, metadata["shape"][1])[None])
        grey = picture.mean(1, keepdim=True) if metadata["shape"][0] == 1 else picture
        data.require_shape(grey[0], metadata["shape"], asked.reference)
        strength = 0.5 if asked.strength is None else asked.strength
        return replace(request, start=grey.repeat(len(numbers), 1, 1, 1), strength=strength)

    def _known(self, asked: ImagesRequest, metadata: Mapping[str, Any]) -> list[Guide]:
        """What the flags say is known of each picture; InputError if the measured one is not of the model's kind."""
        ink = [Brightness(asked.brightness)] if asked.brightness is not None else []
        if asked.observation is None:
            return list(ink)
        picture, seen = data.measured(asked.observation, metadata["shape"][0])
        if asked.mask is not None:
            seen = seen & (data.masked(asked.mask, picture.shape) < 0)
        noise = 2 * (0.05 if asked.noise is None else asked.noise)  # the model's pictures go from −1 to 1
        shape, width = metadata["shape"], 1.0 if asked.blur is None else asked.blur
        if asked.operator not in (None, "pixels") and not seen.all():
            raise InputError(
                f"{asked.observation}: has pixels that were not seen, which only --operator pixels leaves out"
            )
        if asked.operator == "blocks":
            return [*ink, coarse(picture, data.block(picture, shape, asked.observation), noise)]
        data.require_shape(picture, shape, asked.observation)
        return [*ink, blurred(picture, width, noise) if asked.operator == "blur" else inpainted(picture, seen, noise)]

    def write(self, samples: Samples, folder: Path) -> None:
        """A PNG of each sample, named by number and what it shows, a grid, and a trajectory or mean and spread."""
        names = self._names(samples)
        for name, pixels in zip(names, walls.to_bytes(samples.x), strict=True):
            (folder / name).write_bytes(pictures.png(pixels))
        extra = ("mean-and-std.png",) if samples.settings.get("observation") else ("trajectory.gif", "trajectory.png")
        for figure, name in zip(self.figures(samples), ("grid.png", *extra), strict=False):
            (folder / name).write_bytes(figure.image)

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        files, facts = sorted(name for name in manifest["files"] if name[:1].isdigit()), manifest["model"]["facts"]
        if not files:
            raise InputError(f"{folder / MANIFEST}: field files names no picture, 00000.png and so on")
        paths = [native(folder, manifest, name) for name in files]
        data.require_shape(data.from_bytes(read(paths[:1]))[0], facts["shape"], paths[0])
        x = data.from_bytes(read(paths))
        said = (manifest.get("each") or {}).get("labels")
        labels = said or [int(_LABEL.findall(name)[0][:9]) for name in files if _LABEL.search(name)]
        require(labels, [Within(int, 0, max(0, facts["classes"] - 1))], f"{folder / MANIFEST}: labels")
        if len(labels) not in (0, len(files)):
            raise InputError(f"{folder / MANIFEST}: names {len(labels)} labels, expected one for each of {len(files)}")
        return x, {"label": torch.tensor(labels)} if labels else {}

    def evaluate(self, samples: Samples) -> list[Metric]:
        assert samples.origin is not None
        config = samples.origin.config
        train, held_out = data.yardstick(config["data"], config.get("size", 32), samples.origin.metadata)
        return metrics.judged(samples, train, held_out)

    def predictions(self, regressor: Regressor) -> list[Metric]:
        assert isinstance(regressor, Judge)
        assert regressor.origin is not None
        return metrics.of_judge(regressor, regressor.origin.config["data"])

    def figures(self, samples: Samples) -> list[Figure]:
        grid = walls.wall(samples.x, walls.columns_of(len(samples)), f"{len(samples)} samples")
        if samples.settings.get("observation"):
            return [grid, walls.summary(samples.x)]
        return [grid, *(walls.trajectory(samples.trajectory) if samples.trajectory else [])]

    def judge_few(self, samples: Samples) -> list[Metric]:
        label = samples.condition.get("label")
        assert samples.origin is not None
        source = samples.origin.config["data"]
        if label is None or samples.origin.metadata.get("caption"):
            return []
        train, held_out = data.yardstick(source, samples.origin.config.get("size", 32), samples.origin.metadata)
        assert isinstance(train, Arrays)
        assert isinstance(held_out, Arrays)
        if judge := metrics.judge_of(source):
            return metrics.of_classes(samples.x, label, held_out, judge)
        return [metrics.class_agreement(samples.x, label, train, held_out)]

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        assert denoiser.origin is not None
        if denoiser.origin.metadata.get("caption"):
            return _words(denoiser, full)
        if denoiser.origin.config["data"] != "digits":
            return []
        return [Stop(_QUARTER, lambda seed: _playground(denoiser, seed, full), 40, 100 if full else 30)]

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


def _of_classes(asked: ImagesRequest, numbers: range, metadata: Mapping[str, Any], known: Sequence[Guide]) -> Request:
    """The classes asked for in turn, all if none are named; InputError if the model does not know them."""
    classes, scale = metadata["classes"], 1.0 if asked.guidance is None else asked.guidance
    if asked.prompt or asked.negative or asked.captions:
        raise InputError("--prompt, --captions and --negative are for models trained with captions; this one has none")
    if not classes and (asked.label is not None or asked.guidance is not None):
        raise InputError("--label and --guidance are for models trained with labels; this one has none")
    wanted = [class_of(value, metadata) for value in asked.label] if asked.label else list(range(classes))
    if asked.interval is not None and asked.weak_model is None and scale == 1:
        raise InputError("--interval says when guidance holds: give --guidance, too")
    if known and asked.label is None and asked.guidance is not None:
        raise InputError("--guidance is by a class: give one --label, too")
    if not classes or (known and asked.label is None):
        return Request()
    if known and len(wanted) > 1:
        raise InputError("--observation and --brightness are for one picture or property: give one --label, or none")
    if known:
        return Request([label(wanted[0], scale, asked.interval or ALWAYS)], record={"guidance": scale})
    labels = torch.tensor([wanted[k % len(wanted)] for k in numbers])
    return Request([label(None, scale, asked.interval or ALWAYS)], {"label": labels}, {"guidance": scale})


def _of_captions(
    requested: ImagesRequest, numbers: range, metadata: Mapping[str, Any], known: Sequence[Guide]
) -> Request:
    """The prompts in turn, spread over the data's captions if there are none, each in the styles in turn."""
    scale = GUIDANCE if requested.guidance is None else requested.guidance
    if known and (len(requested.prompt) > 1 or len(requested.label or ()) > 1):
        raise InputError(
            "--observation and --brightness are for one picture or property: give one --prompt and --label at most"
        )
    if not metadata["classes"] and requested.label is not None:
        raise InputError("--label is for models trained with classes or styles; this one has none")
    if known and requested.captions is not None:
        raise InputError("--captions takes all captions in turn; --observation and --brightness are for one --prompt")
    asked = requested.prompt or (("",) if known else _spread(_names(requested, metadata)))
    styles = [class_of(value, metadata) for value in requested.label or (0,)] if metadata["classes"] else [-1]
    each, way = [asked[k % len(asked)] for k in numbers], requested.way or WAY
    if requested.way is not None and not any(len(parsed(prompt)) > 1 for prompt in asked if prompt):
        raise InputError("--way counts the pictures on the way of a prompt with TO, as in 'a cat TO a dog'")
    rounds = [k // len(asked) for k in numbers]
    phrases = [said(one, k % way / (way - 1)) if one else [] for one, k in zip(each, rounds, strict=True)]
    labels = [styles[k % len(styles)] for k in rounds]
    phrases = [[_numbered(phrase, metadata) for phrase in one] for one in phrases]
    guide, condition = prompts(phrases, labels, scale, requested.negative, requested.interval or ALWAYS)
    said_of_each = {"prompts": each, "labels": labels}
    return Request([guide], condition, {"guidance": scale}, said_of_each, STOCHASTIC)


def _numbered(phrase: Phrase, metadata: Mapping[str, Any]) -> Phrase:
    """With the number of the class that it names; InputError if the model does not know it."""
    if phrase.label is None:
        return phrase
    try:
        return replace(phrase, label=class_of(phrase.label, metadata, "prompt: @"))
    except InputError as error:
        raise InputError(rf"{error}; \@ is the sign itself") from None


def _names(requested: ImagesRequest, metadata: Mapping[str, Any]) -> Sequence[str]:
    """The captions of the data that are asked for; InputError if none are held out, or the model does not know."""
    if requested.captions != "held-out":
        return metadata["captions"]
    if "held-out captions" not in metadata:
        raise InputError("--captions held-out: this model was trained before models kept the captions held out")
    if not metadata["held-out captions"]:
        raise InputError("--captions held-out: some training picture has each of the data's captions; none is held out")
    return metadata["held-out captions"]


def _spread(names: Sequence[str]) -> tuple[str, ...]:
    """All names, written as prompts, in an order of which every beginning is spread evenly over them."""
    stride = round(len(names) * 0.6180339887498949)
    while gcd(stride, len(names)) > 1:
        stride += 1
    return tuple(written(names[k * stride % len(names)]) for k in range(len(names)))


# What words can say -----------------------------------------------------------------------------------

_COMPOSED = (
    " A composition is the product of two denoisers over what both have in common, so that it needs no picture of both "
    "to learn from."
)


def _words(model: NeuralDenoiser, full: bool) -> list[Stop]:
    """What emoji show; and new words, styles mixed, two things in one picture, the way from one to another."""
    assert model.origin is not None
    styles, some = model.origin.metadata["labels"] or [""], (4, 12) if full else (2, 8)
    new = {
        "what no emoji shows": PROMPTS[16:],
        "in each style, and in two at once": tuple(
            prompt
            for text in PROMPTS[: some[0]]
            for prompt in (*(f"{text} @{style}" for style in styles), _mixed(text, styles))
        ),
        "two things, each as a prompt of its own": tuple(f"{a} AND {b}" for a, b in TWO[: some[1]]),
        "the same, joined by a word": tuple(f"{a} and {b}" for a, b in TWO[: some[1]]),
        "from a red heart to a yellow star": ("a red heart TO a yellow star",) * WAY,
    }
    said = {
        "Pictures from words": ({"what emoji show": PROMPTS[:16]}, "", 6),
        "New words, two at once, and ways between": (new, _COMPOSED, 14),
    }
    return [
        Stop(title, partial(_said_in_words, model, title, asked, text), 10 + k, seconds)
        for k, (title, (asked, text, seconds)) in enumerate(said.items())
    ]


def _said_in_words(
    model: NeuralDenoiser, title: str, said: Mapping[str, Sequence[str]], text: str, seed: int
) -> Stream[Chapter]:
    """Walls of prompts; the first with its trajectory."""
    figures, total = [], float(sum(map(len, said.values())))
    for caption, asked in said.items():
        request = ImagesRequest(prompt=tuple(dict.fromkeys(asked)))
        how = {"steps": QUICK, "batch_size": 16, "seed": seed, "trajectory": True if not figures else None}
        before = sum(len(one) for one in list(said.values())[: list(said).index(caption)])
        samples = yield from part(drawing(model, request, len(asked), **how), before, len(asked), total)
        figures += [
            walls.wall(samples.x, 8, f"{caption}: {', '.join(dict.fromkeys(asked))}"),
            *(walls.trajectory(samples.trajectory) if samples.trajectory else []),
        ]
    example = next(iter(said.values()))[0]
    lead = f'Drawn now: <code>ornstein sample images/openmoji --prompt "{example}"</code>, {QUICK} steps each.'
    return Chapter(title, lead + text, figures, cover=figures[0])


def _mixed(text: str, styles: Sequence[str]) -> str:
    return f"{text} @{styles[0]}:0.5 AND {text} @{styles[-1]}:0.5"


# What a model knows, shown on pictures it never saw ---------------------------------------------------


_QUARTER = "Digits from a quarter of their pixels"


def _playground(model: Denoiser, seed: int, full: bool) -> Stream[Chapter]:
    """Pictures from a quarter of their pixels, with what is left uncertain; and other things to say."""
    held_out = data.digits()[1]
    assert isinstance(held_out.x, Tensor)
    n, steps, count = (64, 25, 3) if full else (64, 12, 2)
    truths, found = held_out.x[:count], []
    seen = torch.zeros(truths.shape[1:], dtype=torch.bool)
    seen[:, ::2, ::2] = True
    how = Population(particles=n, steps=steps)
    for k, truth in enumerate(truths):
        restored = draws(model & inpainted(truth, seen, 0.15), n, how, seed=seed)
        samples = yield from part(restored, k, 1, count + 0.5)
        found.append(samples)
    rows = torch.cat([_row(truth, seen, samples) for truth, samples in zip(truths, found, strict=True)])
    inside = torch.stack([_inside(truth, samples)[~seen] for truth, samples in zip(truths, found, strict=True)])
    smallest = min(min(samples.exactness.ess) for samples in found if samples.exactness)
    wall = walls.wall(rows, SHOWN + 4, "truth · seen · mean · standard deviation · samples")
    return Chapter(
        _QUARTER,
        f"Held-out digits, one pixel in four seen. From the left: the truth, what was seen, the mean of {n} particles "
        f"after {steps} steps, their standard deviation, and {SHOWN} of them; the effective sample size is at least "
        f"{smallest:.0%} of {n}. Below, the same model told other things.",
        [wall, *(walls.wall(x, SHOWN, caption) for caption, x in _said(model, truths[0], seed, full))],
        [
            Metric(
                "unseen pixels within two standard deviations",
                inside.double().mean().item(),
                "closer",
                f"Share of the pixels that were not seen, in {count} digits; a normal posterior would have 0.95.",
                0.95,
                "normal",
            )
        ],
        wall,
    )


def _said(model: Denoiser, truth: Tensor, seed: int, full: bool) -> list[tuple[str, Tensor]]:
    """The first held-out picture through worse glasses, and digits described in other words."""
    means = torch.nn.functional.avg_pool2d(truth, 2)
    three, eight = model & label(3), model & label(8)
    described = {
        "from the means of 2 × 2 pixels": lambda: model & coarse(means, 2, 0.05),
        "a 3 or an 8 (mixture)": lambda: mixture([three, eight]),
    }
    if full:
        described |= {
            "from a blur of one pixel": lambda: model & blurred(_blur(truth), 1.0, 0.05),
            "a 3 that is thick: mean brightness .4": lambda: three & Brightness(0.4, 256),
            "a 3 and an 8 (product over all digits)": lambda: product(three, eight, model),
        }
    steps = 20 if full else QUICK
    return [(caption, sample(told(), SHOWN, steps, seed=seed).x) for caption, told in described.items()]


def _blur(truth: Tensor) -> Tensor:
    return Blur.gaussian(1.0)(truth[None])[0]


def _row(truth: Tensor, seen: Tensor, samples: Samples) -> Tensor:
    shown = torch.where(seen, truth, -torch.ones_like(truth))
    summary = torch.stack([truth, shown, samples.x.mean(0), samples.x.std(0) - 1])
    return torch.cat([summary, samples.x[:: len(samples) // SHOWN][:SHOWN]])


def _inside(truth: Tensor, samples: Samples) -> Tensor:
    return (truth - samples.x.mean(0)).abs() < 2 * samples.x.std(0)
