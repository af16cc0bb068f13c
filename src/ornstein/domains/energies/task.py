"""Energies, bound to the engine: continuous space, data that annealing and the model itself make, NumPy files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...config import TrainConfig, require_in
from ...denoisers.base import Denoiser, NeuralDenoiser, Origin
from ...denoisers.energy import EnergyDenoiser
from ...errors import InputError
from ...files import Within
from ...schedules import SCHEDULES, Scaled
from ...spaces import Euclidean
from ...tasks.figures import Figure, Metric, Stop, at_once
from ...tasks.samples import Samples
from ...tasks.task import Request, Task
from ...training.datasets import Arrays, Dataset
from . import chapters, data, metrics, network, stills
from .converted import CONVERSIONS
from .data import System, recorded
from .factors import boltzmann
from .judging import EnergyJudge
from .learning import renewed
from .network import NetworkConfig
from .stored import EnergyStore

SMALL = 8  # coordinates, of systems that are corrected within seconds


@dataclass(frozen=True)
class EnergiesConfig:
    """A model that proposes samples of exp(−E).

    Attributes:
        system: gmm-40, many-well-32, dw-4, lj-13, funnel-10, or path/to/file.py:name of a System of your own.
        particles: of the annealed population that the training starts from; no data are needed.
        draws: kept of each of them, in chains that go on from there.
        rounds: of training; before each but the first the model's own draws, corrected, are added to the data.
        belief: what the network gives: the mean, or an energy (whose score is conservative, at twice the cost).
        schedule: the noise schedule.
        network: the network.
        train: the training.
    """

    system: str = "gmm-40"
    particles: int = 5000
    draws: int = 4
    rounds: int = 2
    belief: Literal["mean", "energy"] = "mean"
    schedule: Literal["cosine", "linear", "flow"] = "cosine"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        require_in(self, "", {"particles": "[100, inf)", "draws": "[1, inf)", "rounds": "[1, inf)"})


@dataclass(frozen=True)
class EnergiesRequest:
    """What to draw: nothing can be asked but samples; `--exact mcmc` makes them exact."""


class Energies(Task):
    """Boltzmann distributions."""

    name = "energies"
    summary = "proposals for exp(−E), made exact by `--exact mcmc`: an energy, and no data"
    config = EnergiesConfig
    request_type = EnergiesRequest
    sampling: ClassVar[Mapping[str, Any]] = {"exact": "mcmc"}
    n_glance = 200
    place = 60.0
    seconds = 2.0
    block = 256
    code: ClassVar[Sequence[str]] = ("system",)
    facts: ClassVar[Mapping[str, Any]] = {
        "system": str,
        "shape": [Within(int, 1, 10**6)],
        "std": Within(float, 1e-30, 1e30),
        "centered?": bool,
        "kinds?": [int],
        "gradients": int,
        "rounds?": [str],
        "source": str,
        "code?": {str: str},
    }
    conversions = CONVERSIONS
    examples: ClassVar[Sequence[str]] = (
        "sample energies/gmm-40 --n 1000 --exact mcmc",
        "sample energies/lj-13 --n 100 --exact mcmc",
        "train energies --system my.py:wells --train.minutes 10",
    )

    def data(self, config: EnergiesConfig) -> tuple[Arrays, Arrays]:
        return data.annealed(config.system, config.particles, config.draws, config.train.seed)

    def space(self, config: EnergiesConfig, metadata: Mapping[str, Any]) -> Euclidean:
        schedule = Scaled(SCHEDULES[config.schedule](), metadata["std"])
        return _of(config, metadata).space(schedule, metadata["std"])

    def network(self, config: EnergiesConfig, metadata: Mapping[str, Any]) -> torch.nn.Module:
        return network.build(config.network, metadata)

    def unconditional(self, config: EnergiesConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return {}

    def denoiser(
        self, config: EnergiesConfig, metadata: Mapping[str, Any], origin: Origin | None = None
    ) -> NeuralDenoiser:
        plain = super().denoiser(config, metadata, origin)
        if config.belief == "mean":
            return plain
        return EnergyDenoiser(plain.network, plain.traits, plain.unconditional)

    def rounds(self, config: EnergiesConfig) -> int:
        return config.rounds

    def renewed(self, config: EnergiesConfig, denoiser: Denoiser, data: Dataset, number: int) -> Arrays:
        assert isinstance(data, Arrays)
        system = _of(config, data.metadata)
        return renewed(denoiser, system.energy, system.width, data, config.particles, config.train.seed + number)

    def request(self, asked: EnergiesRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return Request([boltzmann(recorded(metadata))])

    def store(self, folder: Path, origin: Origin, numbers: range) -> EnergyStore:
        return EnergyStore(folder, origin, numbers)

    def judge(self, like: Samples) -> EnergyJudge:
        return EnergyJudge(_system(like), like.exactness)

    def retest(self, samples: Samples) -> list[Metric]:
        judge = self.judge(samples)
        judge.add(samples)
        return judge.identities()

    def figures(self, samples: Samples) -> list[Figure]:
        system = _system(samples)
        return metrics.figures(samples.x[: metrics.SHOWN], metrics.energies(samples.x, system), system)

    def frame(self, samples: Samples) -> Figure:
        return stills.frame(samples.x.detach().cpu(), _system(samples))

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        assert denoiser.origin is not None
        system = recorded(denoiser.origin.metadata)
        if not full and prod(system.shape) > SMALL:
            return []  # its correction takes minutes; the card has it
        title = chapters.corrected_title(system)
        return [Stop(title, at_once(lambda seed: chapters.corrected(denoiser, system, seed)), 61, 60 if full else 6)]


def _system(samples: Samples) -> System:
    if samples.origin is None:
        raise InputError("these samples do not say of which system they are")
    return recorded(samples.origin.metadata)


def _of(config: EnergiesConfig, metadata: Mapping[str, Any]) -> System:
    return recorded({**metadata, "system": config.system})
