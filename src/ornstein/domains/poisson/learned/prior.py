"""Models of sources: p(ρ), of which every question to an equation is a posterior.

Of Gaussian sources whose spectrum is that of the noise and of `data_std`, the network has nothing to learn:

    E[x₀ | x_t] = α x_t/(α² + σ²)        where F = 0, as in a fresh network
"""

from collections.abc import Mapping
from typing import Any

from ....guidance.maps import Standardised
from ....networks.fields import Fields
from ....spaces import Euclidean
from ....training.datasets import Dataset
from .. import data as records

DEFAULTS: Mapping[str, Any] = {"steps": 30, "eta": 1.0}
"""Of samples, where the user says nothing: fresh noise mends what a step took for certain too early."""


def data(config: Any) -> tuple[Dataset, Dataset]:
    """Sources to learn from, and others; InputError for settings that these data do not have."""
    if config.data in records.MADE:
        return records.made(config.data, config.shape or records.SHAPE, config.records or records.RECORDS)
    records.require_made(config, records.MADE)
    return records.opened(config.data, config.memory)


def space(config: Any, metadata: Mapping[str, Any]) -> Euclidean:
    """Standardised sources under white noise, or noise of their own spectrum."""
    spectrum = records.spectrum(metadata)
    return Euclidean(spectrum.shape, data_std=spectrum, noise_cov=spectrum if config.coloured else None)


def map(config: Any, metadata: Mapping[str, Any]) -> Standardised:
    """From states to sources in their unit."""
    return Standardised(metadata["mean"], metadata["std"])


def fields(metadata: Mapping[str, Any]) -> Fields:
    """What the network is told: where it is, as a source may be another near the border."""
    axes = len(metadata["shape"]) - 1
    return Fields(1, coordinates=True, borders=("symmetric",) * axes)
