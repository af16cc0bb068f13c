"""Weather, bound to the engine: what may happen, given a forecast; grids and stations, all leads in one model."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from ...config import TrainConfig, require_in
from ...denoisers.base import NeuralDenoiser, Origin
from ...denoisers.maps import Map
from ...denoisers.onestep import OneStep
from ...errors import InputError, needed_for
from ...events import Stream
from ...files import MB
from ...guidance.maps import Residual
from ...networks.patches import PatchTransformerConfig
from ...networks.unet import UNetConfig
from ...spaces import Euclidean
from ...spectral.shells import Shells
from ...tasks.figures import Figure, Interactive, Stop
from ...tasks.samples import Samples
from ...tasks.task import Request, Task
from ...training.datasets import Dataset
from . import chapters, examples
from . import data as records
from .asked import requests
from .asked.flags import WeatherRequest
from .by_hand import BY_HAND
from .files.opened import opened
from .files.pairs import Pairs
from .files.reading import GRIB, NETCDF
from .files.tables import TABLES
from .judging import EnsembleJudge
from .known import FACTS, Known, dated
from .network import described, network
from .results import calibration, drawn, figures, stills
from .results.store import EnsembleStore
from .roots import Roots
from .worlds import SETS

_CYCLES = {"auto": None, "none": (), "year": ("year",), "day": ("day",), "both": ("year", "day")}
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d){0,2})?)?)?")
_SAID = {"auto": None, "yes": True, "no": False}


@dataclass(frozen=True)
class WeatherConfig:
    """A model of what happens, given a forecast.

    Attributes:
        forecast: files of forecasts: NetCDF, Zarr, GRIB, or tables of stations (CSV, Parquet); a path or a pattern.
        truth: files of what happened: analyses on any grid, or observations of stations.
        variables: that are learned, by their names in the truth; empty = all that are in both.
        predictors: variables of the forecast that the model is told, beside those of the variables; empty = all.
        match: what a variable is called in the forecast, where it has another name there: "t2m=2t".
        steps: the leads that are learned, hours (or as the file counts them); empty = all.
        static: a file of fields that are the same at all times, such as orography.
        leads: "joint": a member is a scenario of all leads; "each": the lead is said, and members of different leads
            have nothing to do with each other.
        validation, test: the share of the times that validates, and of the last ones, on which the model is judged.
        validation_from, test_from: the date (or the number) from which on these are, in the place of the shares.
        memory: megabytes of records that are in memory at most.
        window: points a side of the windows that are learned from, of grids that are too large; 0 = the whole grid.
        method: "diffusion", or "crps", a network that draws in one step and is trained on the fair CRPS.
        draws: of each record in a training of method crps; each costs a network evaluation.
        bands: weight of the CRPS of octaves of waves beside that of points, of method crps on whole grids.
        coloured: whether the noise has the spectrum of what is learned.
        emphasis: the error of each wave is weighed by this power of the spectrum: 0 = all waves alike, so that the
            small ones, which are many, count most; 1 = as the squared error of each point does.
        mirror: an axis of the grid along which a field mirrored with its sign changed is as likely, as the flow on a
            β-plane is along y; every second record is then learned from so.
        cycles: what is told of the time when a forecast began: "none", "year" (the season), "day" (the hour), or both;
            auto = the season where what is learned from is two years or more, the hour where it varies.
        coordinates: whether the network is told where on the grid an element is; auto = unless all axes go round.
        judged: times that validate, and last ones, for which ensembles are drawn after the training: for factors of the
            spread, and for the calibration report; 0 = neither.
        network: the U-Net of data on a grid.
        stations: the transformer of data of stations.
        train: the training.
    """

    forecast: str = ""
    truth: str = ""
    variables: tuple[str, ...] = ()
    predictors: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    steps: tuple[float, ...] = ()
    static: Path | None = None
    leads: Literal["joint", "each"] = "joint"
    validation: float = 0.1
    test: float = 0.2
    validation_from: str = ""
    test_from: str = ""
    memory: float = 4000.0
    window: int = 0
    method: Literal["diffusion", "crps"] = "diffusion"
    draws: int = 2
    bands: float = 0.0
    coloured: bool = True
    emphasis: float = 0.5
    mirror: str = ""
    cycles: Literal["auto", "none", "year", "day", "both"] = "auto"
    coordinates: Literal["auto", "yes", "no"] = "auto"
    judged: int = 40
    network: UNetConfig = field(default_factory=lambda: UNetConfig(32, (1, 2, 2), 1, ()))
    stations: PatchTransformerConfig = field(
        default_factory=lambda: PatchTransformerConfig(width=64, layers=3, heads=4, patch=1)
    )
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(batch_size=16, condition_dropout=0.0, minutes=None, plan=())
    )

    def __post_init__(self) -> None:
        sizes = {
            "validation": "(0, 1)",
            "test": "[0, 1)",
            "memory": "(0, inf)",
            "window": "[0, 65536]",
            "emphasis": "[0, 1]",
            "judged": "[0, 1e6]",
            "draws": "[2, 64]",
            "bands": "[0, inf)",
        }
        require_in(self, "", sizes)
        if self.method == "diffusion" and (self.bands or self.draws != WeatherConfig.draws):
            raise InputError("draws and bands are for method crps, found method diffusion")
        if self.validation + self.test >= 1:
            raise InputError(f"validation {self.validation} and test {self.test} leave nothing to learn from")


class Weather(Task):
    """What may happen, given a forecast."""

    name = "weather"
    summary = "a sharp, calibrated ensemble from one forecast, on any grid or of stations"
    config = WeatherConfig
    request_type = WeatherRequest
    n_evaluate = 64
    needs_data = False
    sets = SETS
    facts = FACTS
    files: ClassVar[Mapping[str, Collection[str]]] = {
        **dict.fromkeys(("forecast", "truth"), (*NETCDF, *GRIB, *TABLES, ".zarr.zip")),
        "observations": (".csv", ".txt", *NETCDF),
    }
    by_hand = BY_HAND
    conversions = drawn.CONVERSIONS
    examples: ClassVar[Sequence[str]] = (
        "data weather-qg --out qg",
        "train weather --forecast raw.zarr --truth analysis.zarr",
        "sample runs/weather --forecast today.nc --members 50 --out ens",
        'sample runs/weather --forecast today.nc --event "t2m > 303.15 @ 47.3,11.4" --exact particles',
        "sample weather/qg --members 10 --out ens",
    )

    def data(self, config: WeatherConfig) -> tuple[Dataset, Dataset]:
        for name in ("forecast", "truth"):
            if not getattr(config, name):
                raise InputError(f"--{name} is not given, expected files of {name}s")
        pairs = opened(
            config.forecast, config.truth, variables=config.variables, predictors=config.predictors,
            steps=config.steps, static=config.static, match=_matches(config.match),
        )  # fmt: skip
        ends = _ends(pairs, config)
        told = {
            "files": {"forecast": [str(config.forecast)], "truth": [str(config.truth)]},
            "source": _source(config, pairs),
            "method": config.method,
        }
        return records.split(
            pairs, ends, leads=config.leads, memory=int(config.memory * MB), window=config.window,
            seed=config.train.seed, cycles=_CYCLES[config.cycles], mirror=config.mirror,
            coordinates=_SAID[config.coordinates], told=told,
        )  # fmt: skip

    def space(self, config: WeatherConfig, metadata: Mapping[str, Any]) -> Euclidean:
        shape = tuple(metadata["shape"])
        if metadata["spectrum"] is None:
            return Euclidean(shape)
        spectrum = Shells.from_record(metadata["spectrum"], "metadata: spectrum").at(shape).spectral
        power = spectrum.power(config.emphasis)
        weights = power * (1 / float(power.variance.mean()))
        return Euclidean(
            shape, data_std=spectrum, noise_cov=spectrum if config.coloured else None, element_weights=weights
        )

    def denoiser(
        self, config: WeatherConfig, metadata: Mapping[str, Any], origin: Origin | None = None
    ) -> NeuralDenoiser:
        plain = super().denoiser(config, metadata, origin)
        if config.method == "diffusion":
            return plain
        assert isinstance(plain.space, Euclidean)
        space = replace(plain.space, element_weights=None)  # errors are not squared
        traits = replace(plain.traits, space=space)
        return OneStep(plain.network, traits, plain.unconditional, members=config.draws, bands=config.bands)

    def map(self, config: WeatherConfig, metadata: Mapping[str, Any]) -> Map:
        known, residual = Known.of(metadata), Residual("base", "scale")
        squared, bounded = (tuple(known.each_channel(one)) for one in (known.positive, known.bounded))
        return Roots(squared, bounded) @ residual if any(squared) or any(bounded) else residual

    def network(self, config: WeatherConfig, metadata: Mapping[str, Any]) -> nn.Module:
        return network(config.network, config.stations, metadata, _SAID[config.coordinates])

    def unconditional(self, config: WeatherConfig, metadata: Mapping[str, Any]) -> Mapping[str, Tensor]:
        return described(metadata, _SAID[config.coordinates]).unconditional

    def count(self, asked: WeatherRequest, metadata: Mapping[str, Any]) -> int:
        return requests.count(asked, metadata)

    def portion(self, asked: WeatherRequest, metadata: Mapping[str, Any]) -> int:
        return requests.portion(asked, metadata)

    def request(self, asked: WeatherRequest, numbers: range, metadata: Mapping[str, Any]) -> Request:
        return requests.request(asked, numbers, metadata)

    def store(self, folder: Path, origin: Origin, numbers: range) -> EnsembleStore:
        with needed_for("Zarr", "weather"):  # before anything is drawn, not when it is to be written
            import xarray  # noqa: F401
            import zarr  # noqa: F401
        return EnsembleStore(folder, origin, numbers)

    def judge(self, like: Samples) -> EnsembleJudge:
        return EnsembleJudge(like)

    def figures(self, samples: Samples) -> Sequence[Figure | Interactive]:
        return figures.of_samples(drawn.ensembles(samples))

    def frame(self, samples: Samples) -> Figure:
        return stills.frame(samples)

    def judged_on(self, metadata: Mapping[str, Any]) -> Sequence[tuple[WeatherRequest, int]]:
        """The forecasts that ship, of a model of their world; else the last times of the training's own files."""
        if examples.fits(metadata):
            return [(WeatherRequest(forecast=examples.FORECAST, truth=examples.TRUTH, members=20), 100)]
        return [(asked := calibration.request(metadata, "test", 20, 40), requests.count(asked, metadata))]

    def judged_files(self, metadata: Mapping[str, Any]) -> str:
        return "python -m ornstein.domains.weather.examples ." if examples.fits(metadata) else ""

    def stops(self, denoiser: NeuralDenoiser, full: bool) -> list[Stop]:
        return chapters.stops(denoiser, full)

    def trained(
        self, denoiser: NeuralDenoiser, config: WeatherConfig, folder: Path, say: Callable[[str], None]
    ) -> Stream[Mapping[str, Any]]:
        """Factors of the spread, which join the metadata, and the calibration report."""
        return (yield from calibration.measured(denoiser, folder, say, config.judged, settings=self.sampling))

    def prepare(self, network: nn.Module, data: Dataset) -> None:
        """Gives the network the static fields."""
        static = data.static if isinstance(data, records.WeatherData) else None
        if static is not None and getattr(network, "static", None) is not None:  # windows are told of theirs
            network.take_static(static)  # pyright: ignore[reportCallIssue]

    def describe(self, data: Dataset, validation: Dataset) -> str:
        assert isinstance(data, records.WeatherData)
        return data.describe()


def _matches(said: Sequence[str]) -> dict[str, str]:
    """Names in the forecast by names in the truth."""
    found = {}
    for one in said:
        name, equals, other = one.partition("=")
        if not (name and equals and other):
            raise InputError(f"match: {one!r}, expected NAME=NAME, that in the truth and that in the forecast")
        found[name] = other
    return found


def _source(config: WeatherConfig, pairs: Pairs) -> str:
    """The files, and what these say of where they are from and of their licence."""
    attrs = {} if pairs.truth is None else pairs.truth.attrs
    said = [str(attrs[name]) for name in ("title", "source", "license") if attrs.get(name)]
    return "; ".join([f"{config.forecast}, {config.truth}", *said])


def _ends(pairs: Pairs, config: WeatherConfig) -> tuple[int, int]:
    """The number of times that are learned from, and of those together with what validates."""
    n = len(pairs.times)
    test = _place(pairs.times, config.test_from, "test_from", n - round(config.test * n))
    share = max(1, round(config.validation * n))
    validation = _place(pairs.times, config.validation_from, "validation_from", test - share)
    if not 0 < validation < test <= n:
        raise InputError(
            f"of {n} times {validation} are before what validates and {test} before what is judged, expected at least "
            "one to learn from and one to validate"
        )
    return validation, test


def _place(times: np.ndarray, said: str, name: str, otherwise: int) -> int:
    """How many times are before what was said."""
    if not said:
        return otherwise
    try:
        if not dated(times):
            return int((times < float(said)).sum())
        if not _DATE.fullmatch(said):
            raise ValueError
        if times.dtype.kind == "M":
            return int((times < np.datetime64(said)).sum())
        return sum(one.isoformat() < said.replace(" ", "T") for one in times)
    except ValueError:
        raise InputError(f"{name} is {said!r}, expected a date such as 2017-02-01, or a number as times have") from None
