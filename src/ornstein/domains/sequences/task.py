"""Sequences, bound to the engine: categories under the noise of your choice, a transformer, FASTA in and out."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...config import TrainConfig, require_in, suggestion
from ...denoisers.base import Condition, Guide, NeuralDenoiser, Origin
from ...denoisers.composition import ClassifierFreeGuidance
from ...errors import InputError
from ...events import Stream
from ...files import Within
from ...networks import Transformer, TransformerConfig
from ...sampling.grids import uniform
from ...sampling.kernels import Kernel, Predictor
from ...sampling.sampler import Sampler
from ...sampling.unmasking import FirstHitting, InformedCorrector, Remask, TemperatureTopP, Unmask
from ...spaces import Categorical, Space
from ...states import State
from ...tasks.figures import Chapter, Figure, Metric, Stop, at_once
from ...tasks.requests import drawing
from ...tasks.samples import Samples, native
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import data, figures, metrics, network, texts
from .converted import CONVERSIONS
from .data import Kind, Unknown
from .factors import known
from .judging import SequenceJudge
from .requests import SequencesRequest
from .store import FASTA, SequenceStore

CHAPTER = 64
FEWEST_PARTICLES = 64
POPULATION_STEPS = 64
LETTERS = 1_000_000
"""That a population passes through the network, if its size is not said: about a minute of one core."""


@dataclass(frozen=True)
class SequencesConfig:
    """A model of sequences.

    Attributes:
        data: a shipped family (trypsin, riboswitch, start-sites), or the path of a file: FASTA, A3M, A2M, Stockholm or
            Clustal, also gzip'd.
        alphabet: of the letters; auto finds out.
        identity: records at least this similar are never on both sides of the split.
        unknown_letters: what becomes of records with letters outside of the alphabet (X, N, U, *): refuse = an error
            that names the first, drop = they are left out and counted, and a * at the end is taken off.
        noise: what is undone; left-to-right and two-orders are autoregression, for comparison.
        mixed: the share of redrawn letters in hybrid noise.
        network: the transformer.
        train: the training.
    """

    data: str = "trypsin"
    alphabet: Kind = "auto"
    identity: float = 0.8
    unknown_letters: Unknown = "refuse"
    noise: network.Noise = "masked"
    mixed: float = 0.2
    network: TransformerConfig = field(default_factory=TransformerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        require_in(self, "", {"identity": "(0, 1]", "mixed": "(0, 1)"})


class Sequences(Task):
    """DNA, RNA and proteins."""

    name = "sequences"
    summary = "DNA, RNA and proteins of a family (shipped ones, or your own FASTA, A3M, A2M, Stockholm, Clustal)"
    config = SequencesConfig
    request_type = SequencesRequest
    data_sets: ClassVar[Collection[str]] = tuple(data.shipped())
    facts: ClassVar[Mapping[str, Any]] = {
        "source": str,
        "alphabet": str,
        "kind": tuple(data.ALPHABETS),
        "length": Within(int, 1, 10**5),
        "lengths": {int: Within(int, 0, 10**7)},
        "families": [str],
        "pairs?": [[Within(int, 0, 10**5), Within(int, 0, 10**5)]],
        "structure?": str,
        "model?": str,
        "motif?": str,
    }
    examples = (
        "sample sequences/riboswitch --n 100",
        "sample sequences/start-sites --motif TATAAT --n 20",
        "sample sequences/start-sites --fraction GC=0.6 --exact particles",
        "train sequences --data my.fasta --train.minutes 30",
    )
    renamed_flags: ClassVar[Mapping[str, str]] = {"--reveal": "--reveal-order", "--rounds": "--sweeps"}
    request_code: ClassVar[Sequence[str]] = ("energy",)
    sampling: ClassVar[Mapping[str, Any]] = {"batch_size": 100}
    conversions = CONVERSIONS
    n_evaluate = 200
    n_tour = 24
    n_glance = 12
    glance: ClassVar[Mapping[str, Any]] = {"batch_size": 12}
    place = 30.0

    def data(self, config: SequencesConfig) -> tuple[Arrays, Arrays]:
        parts = _load(config.data, config.alphabet, config.identity, config.unknown_letters)
        return parts if config.noise != "two-orders" else (data.in_two_orders(parts[0]), data.in_two_orders(parts[1]))

    def describe(self, data: Dataset, validation: Dataset) -> str:
        metadata = data.metadata
        return (
            f"{super().describe(data, validation)} of {metadata['kind']}, letters {metadata['alphabet']}, "
            f"{metadata['length']} long at most; left out: {_left_out(metadata)}; {metadata['clusters']} "
            f"clusters, {metadata['redundancy']:.0%} of the records in one with others, none on both sides"
        )

    def space(self, config: SequencesConfig, metadata: Mapping[str, Any]) -> Categorical:
        return network.space(config.noise, metadata, config.mixed)

    def network(self, config: SequencesConfig, metadata: Mapping[str, Any]) -> Transformer:
        if config.noise in network.CAUSAL and metadata["lengths"]:
            raise InputError(f"noise {config.noise}: is for sequences of one length; those of {config.data} vary")
        return network.build(config.network, config.noise, metadata)

    def unconditional(self, config: SequencesConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        family = {"family": torch.tensor(-1)} if metadata["families"] else {}
        return {**family, "start": torch.tensor(0)} if config.noise in network.CAUSAL else family

    def request(self, asked: SequencesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        families, lengths = _families(asked, metadata), _lengths(asked, numbers, metadata)
        condition = {"mask": torch.arange(metadata["length"]) < lengths[:, None]} if metadata["lengths"] else {}
        guides: list[Guide] = []
        if asked.temperature != 1 or asked.top_p != 1:
            guides.append(TemperatureTopP(asked.temperature, asked.top_p))
        if families:
            condition["family"] = torch.tensor([families[k % len(families)] for k in numbers])
            guides.append(ClassifierFreeGuidance({"family": None}, asked.guidance))
        said = {"fixed": asked.fixed, "motif": asked.motif, "structure": asked.structure, "fold": asked.fold}
        factors = known({**said, "fraction": asked.fraction})
        target = [] if asked.energy is None else [texts.named(asked.energy)]
        order = [name for name in ("reveal_order", "bound", "sweeps") if getattr(asked, name) is not None]
        return Request(
            [*guides, *factors, *target],
            condition,
            sampler=partial(sampler, asked),
            owned="the order of revealing (--reveal-order) decides",
            population=_population(len(numbers), metadata),
            independent=order,
            weighed=["fold"] if asked.fold is not None else [],
            corrected=["energy"] if target else [],
        )

    def store(self, folder: Path, origin: Origin, numbers: range) -> SequenceStore:
        return SequenceStore(folder, origin, numbers, partial(_training_letters, origin.config))

    def read(self, folder: Path, manifest: Mapping[str, Any]) -> tuple[State, Condition]:
        native(folder, manifest, FASTA)
        return super().read(folder, manifest)

    def parts(self, folder: Path, manifest: Mapping[str, Any], size: int) -> Iterator[tuple[State, Condition]]:
        native(folder, manifest, FASTA)
        return super().parts(folder, manifest, size)

    def judge(self, like: Samples) -> SequenceJudge:
        assert like.origin is not None
        return SequenceJudge(*_of(like.origin.config), like.settings)

    def figures(self, samples: Samples) -> list[Figure]:
        return figures.of_samples(samples)

    def frame(self, samples: Samples) -> Figure:
        mask = samples.condition.get("mask")
        some = samples.x.detach().cpu()
        assert samples.origin is not None
        return figures.alignment(some, samples.origin.metadata, None if mask is None else mask.cpu(), quick=True)

    def judge_few(self, samples: Samples) -> list[Metric]:
        return self.evaluate(samples)

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        assert denoiser.origin is not None
        known = metrics.against_autoregression if denoiser.origin.config["data"] == "riboswitch" else None
        if denoiser.origin.metadata["lengths"] or not (full or known):
            return []
        together = Stop(
            f"What varies together in {denoiser.origin.name}", partial(_together, denoiser, full), 31, 60 if full else 8
        )
        return [together, Stop("Against autoregression", at_once(lambda seed: known()), 32, 1)] if known else [together]


def _together(denoiser: NeuralDenoiser, full: bool, seed: int) -> Stream[Chapter]:
    """Columns that vary together; in few steps, where letters are revealed at random, unless in full."""
    assert denoiser.origin is not None
    train, held_out = _of(denoiser.origin.config)
    asked, steps = (SequencesRequest(), None) if full else (SequencesRequest(reveal_order="ancestral"), 32)
    drawn = yield from drawing(denoiser, asked, CHAPTER, seed=seed, steps=steps, batch_size=CHAPTER)
    return metrics.together(denoiser, drawn.x, train, held_out, judged=full)


def _left_out(metadata: Mapping[str, Any]) -> str:
    """In words: exact duplicates always, the rest where there is any."""
    words = {
        "unknown": "with letters that are not one of these",
        "stops": "* at the end",
        "insertions": "letters inserted between the columns of the alignment",
    }
    more = [f"{metadata[name]} {meaning}" for name, meaning in words.items() if metadata.get(name)]
    return ", ".join([f"{metadata['duplicates']} exact duplicates", *more])


def _of(config: Mapping[str, Any]) -> tuple[Arrays, Arrays]:
    """The two parts of the data of a trained model; its configuration may be older than the option."""
    return _load(config["data"], config["alphabet"], config["identity"], config.get("unknown_letters", "refuse"))


def _training_letters(config: Mapping[str, Any]) -> Tensor | None:
    """What a model was trained on, where that comes along, so that no model names a file to open, and has columns."""
    if config["data"] not in Sequences.data_sets:
        return None
    try:
        train = _of(config)[0]
    except InputError:
        return None
    return train.x if isinstance(train.x, Tensor) and not train.metadata["lengths"] else None


@lru_cache(maxsize=4)
def _load(source: str, alphabet: Kind, identity: float, unknown_letters: Unknown) -> tuple[Arrays, Arrays]:
    """The two parts: kept, because clusters take a while to find."""
    return data.load(source, alphabet, identity, unknown_letters=unknown_letters)


def sampler(asked: SequencesRequest, space: Space, steps: int | None) -> Sampler:
    """The sampler of a noise: InputError where letters cannot be revealed in the order asked for.

    Args:
        space: the kind of data and its noise.
        steps: intervals of the time grid.
    """
    assert isinstance(space, Categorical)
    length = space.shape[0]
    if not space.absorbing or isinstance(space, network.Autoregressive):
        for name in ("reveal_order", "bound", "sweeps"):
            if getattr(asked, name) is not None:
                raise InputError(f"--{name.replace('_', '-')} is for masked models")
        return Sampler(uniform(length if space.absorbing else steps or 100), (Predictor(eta=1.0),))
    kernels: dict[str, tuple[int, Kernel]] = {
        "entropy": (length, Unmask("entropy", 0.5 if asked.bound is None else asked.bound)),
        "confidence": (length // 2, Unmask("confidence")),
        "first-hitting": (1, FirstHitting()),
        "ancestral": (64, Predictor(eta=1.0)),
        "remask": (128, Remask()),
    }
    (needed, kernel), rounds = kernels[asked.reveal_order or "entropy"], asked.sweeps or 0
    grid = [*uniform(steps or needed), *[0.0] * (rounds - 1)]  # the first round is in the last step
    return Sampler(grid, (kernel, InformedCorrector()) if rounds else (kernel,))


def _families(asked: SequencesRequest, metadata: Mapping[str, Any]) -> list[int]:
    """The numbers of the families asked for, all if none are named; InputError if the model does not know them."""
    names = metadata["families"]
    if not names and (asked.family is not None or asked.guidance != 1):
        raise InputError("--family and --guidance are for models trained with families; this one has none")
    for name in asked.family or ():
        if name not in names:
            raise InputError(f"--family {name}: this model does not know it{suggestion(name, names)}")
    return [names.index(name) for name in asked.family or names]


def _lengths(asked: SequencesRequest, numbers: range, metadata: Mapping[str, Any]) -> Tensor:
    """A length a sample: the one asked for, or a quantile of the data's that its number alone decides."""
    n = len(numbers)
    if asked.length is not None and not metadata["lengths"]:
        raise InputError(f"--length: all sequences of this model have {metadata['length']} positions")
    if asked.length is not None:
        if asked.length > metadata["length"]:
            raise InputError(f"--length {asked.length}: this model knows lengths up to {metadata['length']}")
        return torch.full((n,), asked.length)
    if not metadata["lengths"]:
        return torch.full((n,), metadata["length"])
    lengths = torch.tensor([int(length) for length, count in metadata["lengths"].items() for _ in range(count)]).sort()[
        0
    ]
    quantiles = (torch.arange(numbers.start, numbers.stop) * 0.6180339887498949) % 1.0
    return lengths[(quantiles * len(lengths)).long()]


def _population(n: int, metadata: Mapping[str, Any]) -> dict[str, int]:
    """As many particles as see `LETTERS` letters in all steps, within limits: long sequences are slow."""
    affordable = LETTERS // (POPULATION_STEPS * metadata["length"])
    return {"particles": max(n, min(512, max(FEWEST_PARTICLES, affordable))), "steps": POPULATION_STEPS}
