"""The scores of samples of exp(−E) that come part by part."""

from array import array
from functools import partial
from math import nan
from typing import Any

import torch
from torch import Tensor

from ...sampling.diagnostics import mean_and_error
from ...tasks.figures import Metric
from ...tasks.judging import Judge, scored
from ...tasks.samples import Samples
from . import metrics
from .data import System
from .metrics import Average


class EnergyJudge(Judge):
    """What can be said of samples of exp(−E).

    Holds 16 bytes a sample, x · ∇E and E, and 8 more of samples that have families; beside these, where exact draws
    are known, the states of the first `metrics.COMPARED`.
    """

    def __init__(self, system: System, exactness: Any = None) -> None:
        """Of no samples yet.

        Args:
            system: the energy with its reference values.
            exactness: what was measured of how exact the samples are, if anything; its `sources` say how many
                independent draws they are worth.
        """
        self._system, self._exactness, self._n = system, exactness, 0
        self._virials, self._energies, self._families = array("d"), array("d"), array("q")
        self._counts = torch.zeros((), dtype=torch.long)
        self._first: list[Tensor] = []

    def add(self, samples: Samples) -> None:
        for x in samples.x.split(metrics.rows_of(self._system)):
            energies, virials = metrics.energies_and_virials(x, self._system)
            self._energies.extend(energies.tolist())
            self._virials.extend(virials.tolist())
            if self._system.group is not None and self._system.shares is not None:
                self._counts = self._counts + metrics.counted(self._system.group(x), len(self._system.shares))
        if samples.genealogy is not None:
            self._families.extend(samples.genealogy.tolist())
        if self._n < metrics.COMPARED and self._system.draw is not None:
            self._first.append(samples.x[: metrics.COMPARED - self._n].clone())
        self._n += len(samples)

    def metrics(self) -> list[Metric]:
        found = self.identities()
        if self._first:
            found += metrics.wasserstein(torch.cat(self._first), self._system, self._n)
        return [*found, *metrics.log_z(self._exactness, self._system)]

    def identities(self) -> list[Metric]:
        """The virial, the mean energy and the shares of modes, which take no time; their errors know of families."""
        system, average = self._system, self._average()
        found = [metrics.virial(_numbers(self._virials), system, average)]
        found.append(metrics.mean_energy(_numbers(self._energies), system, average))
        return [*found, *(metrics.shares(self._counts, system) if self._counts.ndim else [])]

    def _average(self) -> Average:
        """How means are taken: of families, where there are any, it is these that are independent."""
        if not self._families:
            return partial(metrics.independent, worth=getattr(self._exactness, "sources", nan))
        genealogy = torch.tensor(self._families).unique(return_inverse=True)[1]
        return partial(mean_and_error, genealogy=genealogy)


def judged(samples: Samples, system: System) -> list[Metric]:
    """All scores that apply to a system.

    Args:
        samples: of it.
        system: the energy with its reference values.
    """
    judge = EnergyJudge(system, samples.exactness)
    return scored(judge, len(samples), lambda: iter([samples.each]), [samples])


def _numbers(values: "array[float]") -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
