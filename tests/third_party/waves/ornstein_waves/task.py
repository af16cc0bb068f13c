"""Waves, bound to the engine: two fields on a periodic grid given a coarse forecast, NetCDF in and Zarr out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ornstein import Euclidean, InputError, Samples, calibration
from ornstein.config import TrainConfig, require_in
from ornstein.denoisers.base import Condition, Origin
from ornstein.files import MB, Within
from ornstein.networks.unet import UNetConfig
from ornstein.report import ensembles, quick
from ornstein.report import fields as plots
from ornstein.spectral.shells import Shells
from ornstein.tasks.figures import Figure, Metric
from ornstein.tasks.native.formats import ZarrMembers
from ornstein.tasks.native.members import FieldStore, Layout
from ornstein.tasks.task import Request, Task
from ornstein.training.fields import FACTS, FieldData, open_given

from . import data, factors, metrics
from .network import described, network

TRUTHS = ("true_height", "true_flow")
"""What happened, beside what was drawn; NaN where nobody knows."""


@dataclass(frozen=True)
class WavesConfig:
    """A model of fine fields given coarse ones.

    Attributes:
        data: a NetCDF, HDF5 or Zarr file of fields and their forecasts.
        memory: megabytes of records that are in memory at most.
        coloured: whether the noise has the spectrum of the data.
        network: the U-Net.
        train: the training.
    """

    data: Path | None = None
    memory: float = 500.0
    coloured: bool = True
    network: UNetConfig = field(default_factory=lambda: UNetConfig(16, (1, 2), 1, ()))
    train: TrainConfig = field(default_factory=lambda: TrainConfig(batch_size=32, condition_dropout=0.0, ema=0.99))

    def __post_init__(self) -> None:
        require_in(self, "", {"memory": "(0, inf)"})


@dataclass(frozen=True)
class WavesAsk:
    """What to draw.

    Attributes:
        given: a NetCDF, HDF5 or Zarr file of forecasts, such as those of the data.
        members: samples of each record, one record after the other.
        gauges: a CSV file of readings, a line "height or flow,y,x,value,std" each.
        conserve: whether each field has exactly the mean of its forecast.
    """

    given: Path | None = None
    members: int = 8
    gauges: Path | None = None
    conserve: bool = False

    def __post_init__(self) -> None:
        require_in(self, "", {"members": "[1, inf)"})


class Waves(Task):
    """Fields of the sea."""

    name = "waves"
    summary = "fine fields of the sea given coarse forecasts"
    config = WavesConfig
    request_type = WavesAsk
    needs_data = False
    files: ClassVar[Mapping[str, Collection[str]]] = {"given": (".nc", ".h5", ".hdf5"), "gauges": (".csv",)}
    facts: ClassVar[Mapping[str, Any]] = {
        **FACTS,
        "source": str,
        "scale": [Within(float, 1e-30, 1e30)],
        "spectrum": Shells.SCHEMA,
    }

    def data(self, config: WavesConfig) -> tuple[FieldData, FieldData]:
        if config.data is None:
            raise InputError("--data is not given, expected a file of fields and their forecasts")
        return data.split(config.data, int(config.memory * MB))

    def space(self, config: WavesConfig, metadata: Mapping[str, Any]) -> Euclidean:
        spectrum = data.spectrum(metadata)
        return Euclidean(spectrum.shape, data_std=spectrum, noise_cov=spectrum if config.coloured else None)

    def map(self, config: WavesConfig, metadata: Mapping[str, Any]) -> Any:
        return data.residual(metadata["scale"])

    def network(self, config: WavesConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return network(config.network, metadata)

    def unconditional(self, config: WavesConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return described(metadata).unconditional

    def request(self, asked: WavesAsk, numbers: range, metadata: Mapping[str, Any]) -> Request:
        if asked.given is None:
            raise InputError("--given is not said, expected a file of forecasts")
        given, shape = open_given(asked.given, metadata), metadata["shape"]
        records = [number // asked.members % len(given) for number in numbers]
        condition, guides = dict(given(records)), []
        if asked.conserve:
            condition["means"] = condition["base"].mean((2, 3))
            guides.append(factors.conserved("means", shape))
        if asked.gauges is not None:
            guides.append(factors.gauges(asked.gauges, shape))
        return Request(guides, condition, each={"record": records}, beside={"truth": given.truth(records)})

    def store(self, folder: Path, origin: Origin, numbers: range) -> FieldStore:
        units = {name: data.UNITS[name.removeprefix("true_")] for name in (*data.NAMES, *TRUTHS)}
        layout = Layout.on_grid(origin.metadata["grid"], units, numbers)
        return FieldStore(ZarrMembers(folder / "waves.zarr", layout), _fields, _states)

    def evaluate(self, samples: Samples) -> list[Metric]:
        truths, members = _ensembles(samples)
        if not np.isfinite(truths).any():
            raise InputError("the file of forecasts (--given) had no height and flow, by which samples could be judged")
        return metrics.judged(truths, members, data.NAMES)

    def figures(self, samples: Samples) -> Sequence[Figure]:
        truths, members = _ensembles(samples)
        if members.shape[1] < 2:
            return []
        stamps = ensembles.stamps(truths[0, 0], members[0, :, 0], "height, first record", unit="m")
        if not np.isfinite(truths).any():
            return [stamps]
        ranks = calibration.Ranks.of(truths, members).histogram()
        return [stamps, plots.spectra(calibration.spectra(truths, members)), plots.rank_histogram(ranks)]

    def frame(self, samples: Samples) -> Figure:
        heights = samples.x[:, 0].numpy()
        return quick.fields(heights, quick.range_of(heights, signed=True), "Heights on their way", "RdBu_r")


def _ensembles(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Truths (cases, channels, y, x) and members (cases, members, channels, y, x)."""
    records = samples.each["record"]
    (_, members), (_, truths) = (calibration.gathered(x, records) for x in (samples.x, samples.condition["truth"]))
    return truths[:, 0], members


def _fields(samples: Samples) -> Mapping[str, Tensor]:
    """Of some samples the variables of the store."""
    each = ((data.NAMES, samples.x), (TRUTHS, samples.condition["truth"]))
    return {name: values[:, k] for names, values in each for k, name in enumerate(names)}


def _states(fields: Mapping[str, np.ndarray]) -> tuple[Tensor, Condition]:
    """The samples, and what they were given, of the variables of the store."""
    state, truth = (torch.from_numpy(np.stack([fields[name] for name in names], 1)) for names in (data.NAMES, TRUTHS))
    return state, {"truth": truth}
