"""Pictures, bound to the engine: Euclidean space, a U-Net, classes and captions, PNG files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...config import TrainConfig
from ...denoisers.base import Guide, NeuralDenoiser, Origin
from ...denoisers.composition import Autoguidance
from ...denoisers.regressors import Regressor
from ...errors import InputError
from ...files import Within
from ...networks import PatchTransformerConfig, UNetConfig
from ...report import walls
from ...schedules import SCHEDULES
from ...spaces import Euclidean
from ...tasks.figures import Figure, Metric, Stop
from ...tasks.samples import Samples
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import chapters, data, metrics, network, stored
from .by_hand import BY_HAND
from .captioned import CaptionJudge
from .converted import CONVERSIONS
from .factors import Brightness, blurred, coarse, inpainted, projected, weaker
from .judging import PictureJudge
from .requests import ALWAYS, ImagesRequest, of_captions, of_classes
from .stored import PictureStore
from .vision import captions
from .vision.folders import SUFFIXES, fitted
from .vision.judges import Judge

SHOWN = 12
PICTURES = (".png", *sorted(SUFFIXES - {".png"}))
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
    files: ClassVar[Mapping[str, Collection[str]]] = {
        **dict.fromkeys(("reference", "mask"), PICTURES),
        "observation": (*PICTURES, ".npz"),
        "weak_model": ("",),
    }
    by_hand = BY_HAND
    conversions = CONVERSIONS
    n_tour = 100
    n_glance = 20
    glance: ClassVar[Mapping[str, Any]] = {"steps": chapters.QUICK, "batch_size": 20}

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
        of = of_captions if metadata.get("caption") else of_classes
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
        noise = 2 * (0.05 if asked.noise is None else asked.noise)  # the model's pictures go from −1 to 1
        if asked.operator == "rays":
            return [*ink, projected(*data.sinogram(asked.observation, metadata["shape"]), noise)]
        picture, seen = data.measured(asked.observation, metadata["shape"][0])
        if asked.mask is not None:
            seen = seen & (data.masked(asked.mask, picture.shape) < 0)
        shape, width = metadata["shape"], 1.0 if asked.blur is None else asked.blur
        if asked.operator not in (None, "pixels") and not seen.all():
            raise InputError(
                f"{asked.observation}: has pixels that were not seen, which only --operator pixels leaves out"
            )
        if asked.operator == "blocks":
            return [*ink, coarse(picture, data.block(picture, shape, asked.observation), noise)]
        data.require_shape(picture, shape, asked.observation)
        return [*ink, blurred(picture, width, noise) if asked.operator == "blur" else inpainted(picture, seen, noise)]

    def store(self, folder: Path, origin: Origin, numbers: range) -> PictureStore:
        return PictureStore(folder, origin, numbers)

    def judge(self, like: Samples) -> PictureJudge | CaptionJudge:
        train, held_out = _yardstick(like)
        assert like.origin is not None
        network = metrics.judge_of(like.origin.config["data"])
        if isinstance(train, data.Captioned):
            assert isinstance(held_out, data.Captioned)
            return CaptionJudge(train, held_out, network, like.origin.metadata.get("held-out captions", ()))
        assert isinstance(train, Arrays)
        assert isinstance(held_out, Arrays)
        return PictureJudge(train, held_out, network)

    def predictions(self, regressor: Regressor) -> list[Metric]:
        assert isinstance(regressor, Judge)
        assert regressor.origin is not None
        return metrics.of_judge(regressor, regressor.origin.config["data"])

    def figures(self, samples: Samples) -> list[Figure]:
        return stored.figures(samples)

    def frame(self, samples: Samples) -> Figure:
        return walls.wall(samples.x.detach().cpu(), walls.columns_of(len(samples)), "Pictures on their way", quick=True)

    def judge_few(self, samples: Samples) -> list[Metric]:
        label = samples.condition.get("label")
        assert samples.origin is not None
        if label is None or samples.origin.metadata.get("caption"):
            return []
        train, held_out = _yardstick(samples)
        assert isinstance(train, Arrays)
        assert isinstance(held_out, Arrays)
        if judge := metrics.judge_of(samples.origin.config["data"]):
            return [metrics.of_classes(judge.agreement(samples.x, label), held_out, judge)]
        machine = metrics.machine(train)
        return [metrics.class_agreement(metrics.agreement(machine, samples.x, label), machine, held_out)]

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        assert denoiser.origin is not None
        if denoiser.origin.metadata.get("caption"):
            return chapters.words(denoiser, full)
        if denoiser.origin.config["data"] != "digits":
            return []
        return [Stop(chapters.QUARTER, lambda seed: chapters.playground(denoiser, seed, full), 40, 100 if full else 30)]


def _yardstick(samples: Samples) -> tuple[Dataset, Dataset]:
    assert samples.origin is not None
    config = samples.origin.config
    return data.yardstick(config["data"], config.get("size", 32), samples.origin.metadata)
