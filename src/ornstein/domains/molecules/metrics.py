"""How molecules are judged: beside held-out real ones (compared.py), by what was asked of them, and by properties.

Properties that were asked for are judged as EDM does (Hoogeboom et al. 2022): by the mean absolute error from what was
wanted, of a regressor that shares no molecule with the one that guides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...denoisers.regressors import Regressor
from ...keys import Keys
from ...tasks.figures import Metric
from ...tasks.judging import Judge
from ...tasks.runs import load_regressor
from ...tasks.samples import Samples
from . import data
from .asked.flags import properties
from .chemistry.conformers import Conformers
from .chemistry.molecule import Molecule
from .compared import MOST, Compared
from .drawn import conformers_of, placed

_TOGETHER = 500  # molecules that are judged at once


class MoleculesJudge(Judge):
    """All scores of molecules that come part by part.

    At most 48 bytes a sample are kept, and some thousand molecules that are compared with held-out ones: see
    `Compared`.
    """

    def __init__(self, like: Samples) -> None:
        """Of no molecules yet.

        Args:
            like: some of them, with their model and settings.
        """
        assert like.origin is not None
        source = like.origin.config["data"]
        self._conformers = Conformers()
        self._wanted = Wanted(properties(like.settings.get("properties", ())) if source.startswith("qm9") else {})
        self._compared = Compared(data.reference(source), data.known(source))

    def add(self, samples: Samples) -> None:
        for k in range(0, len(samples), _TOGETHER):
            some = samples[k : k + _TOGETHER]
            conformers = conformers_of(some)
            found = [one.molecule for one in conformers] or placed(some)
            self._conformers += Conformers.of(conformers)
            self._wanted.add(found)
            self._compared.add(found)

    def metrics(self) -> list[Metric]:
        return as_asked(self._conformers) + self._wanted.metrics() + self._compared.metrics()


def as_asked(found: Conformers) -> list[Metric]:
    """Whether molecules that were drawn for SMILES are these; nothing, if there are none."""
    if not found.drawn:
        return []
    meaning = "Share whose graph is the one that was asked for."
    rows = [Metric("conformers", found.right / found.drawn, "higher", meaning)]
    if found.handed:
        meaning = "Share of the conformers that are the stereoisomer that was asked for."
        rows.append(Metric("stereo as asked", found.stereo / found.handed, "higher", meaning))
    return rows


# Properties -------------------------------------------------------------------------------------------

JUDGE = "molecules/qm9-judge"


@dataclass(frozen=True)
class Published:
    """What the literature says of a property of QM9: mean absolute errors in the unit it is reported in.

    Attributes:
        scale: from our unit to that one.
        shuffled, by_size: of molecules with anybody's property, and of the best guess from the number of atoms.
        edm, judge: of EDM's samples (1000 calls), and of EDM's judge about real molecules.
    """

    unit: str
    scale: float
    shuffled: float
    by_size: float
    edm: float
    judge: float


PUBLISHED = {
    "alpha": Published("bohr³", 1.0, 9.01, 3.86, 2.76, 0.10),
    "gap": Published("meV", 1000.0, 1470.0, 866.0, 655.0, 64.0),
    "homo": Published("meV", 1000.0, 645.0, 426.0, 356.0, 39.0),
    "lumo": Published("meV", 1000.0, 1457.0, 813.0, 584.0, 36.0),
    "mu": Published("D", 1.0, 1.616, 1.053, 1.111, 0.043),
    "cv": Published("cal/(mol K)", 1.0, 6.857, 1.971, 1.101, 0.040),
}


def read_off(
    regressor: Regressor, found: Sequence[Molecule], t: float = 0.0, batch: int = 250
) -> Float[Tensor, "n properties"]:
    """Properties by a regressor, in the units of its data; t: the time up to which the molecules are noised first.

    Args:
        found: molecules, positions in Å.
        batch: molecules evaluated at once.
    """
    assert regressor.origin is not None
    part, parts = data.padded(data.table(found), regressor.origin.metadata), []
    for first in range(0, len(found), batch):
        index = torch.arange(first, min(first + batch, len(found)))
        x, condition = part.batch(index)
        noise = Keys.of(0, index.tolist()).fold("noise")
        x_t = regressor.space.with_mask(condition["mask"]).noise(x, t, noise)
        with torch.no_grad():
            parts.append(regressor(x_t, t, condition).mean)
    return data.in_units(torch.cat(parts), regressor.origin.metadata)


def true_properties(found: Sequence[Molecule], names: Sequence[str]) -> Float[Tensor, "n properties"]:
    """What is known of molecules, NaN where nothing is."""
    return torch.tensor([[molecule.properties.get(name, torch.nan) for name in names] for molecule in found])


def absolute_errors(found: Float[Tensor, "n k"], wanted: Float[Tensor, "#n k"]) -> Float[Tensor, " k"]:
    """Mean |found − wanted| over the molecules for which something is known."""
    return (found - wanted).abs().nanmean(0)


def by_size(values: Float[Tensor, "n k"], sizes: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """The mean of each value over the molecules of the same size: the best guess from the number of atoms alone."""
    _, group = sizes.unique(return_inverse=True)
    same = torch.nn.functional.one_hot(group).to(values)
    return same @ (same.T @ values) / same.sum(0)[group, None]


class Wanted:
    """How far molecules that come part by part are from properties of QM9 that were asked for.

    Beside it stands how far the judge is from the truth.
    """

    def __init__(self, wanted: Mapping[str, float]) -> None:
        """Of no molecules yet.

        Args:
            wanted: the properties by name, in the units of the data.
        """
        self._wanted, self._n = wanted, 0
        self._sums, self._errors, self._known = (torch.zeros(len(wanted), dtype=torch.float64) for _ in range(3))

    def add(self, found: Sequence[Molecule]) -> None:
        """Takes in molecules."""
        if not self._wanted:
            return
        names = _names(judge_of_qm9())
        seen = read_off(judge_of_qm9(), found)[:, [names.index(name) for name in self._wanted]].double()
        errors = (seen - torch.tensor([*self._wanted.values()], dtype=torch.float64)).abs()
        self._n += len(found)
        self._sums += seen.sum(0)
        self._errors += errors.nansum(0)
        self._known += (~errors.isnan()).sum(0)

    def metrics(self) -> list[Metric]:
        """The errors of all that came, at least one; nothing where nothing was asked for."""
        if not self._wanted:
            return []
        own = dict(zip(_names(judge_of_qm9()), own_errors().tolist(), strict=True))
        rows = zip(self._wanted.items(), self._errors / self._known, self._sums / self._n, strict=True)
        return [
            Metric(
                f"{name}, mean absolute error ({PUBLISHED[name].unit})",
                PUBLISHED[name].scale * float(error),
                "lower",
                f"From the wanted {value:g}, by a judge that has seen none of the guide's molecules; the mean is "
                f"{float(mean):.3g}.",
                PUBLISHED[name].scale * own[name],
                "the judge on held-out molecules",
            )
            for (name, value), error, mean in rows
        ]


def predictions(regressor: Regressor) -> list[Metric]:
    """How well a regressor of QM9 predicts molecules that it was not trained on, at the noise levels that it knows."""
    found = data.reference("qm9")
    truth, sizes = true_properties(found, _names(regressor)), torch.tensor([len(one) for one in found])
    guess = absolute_errors(by_size(truth, sizes), truth)
    rows = []
    for t in (0.0,) if regressor.clean else (0.0, 0.2, 0.4, 0.6):
        errors = absolute_errors(read_off(regressor, found, t), truth)
        for name, ours, alone in zip(_names(regressor), errors.tolist(), guess.tolist(), strict=True):
            like = PUBLISHED[name]
            meaning = f"Mean absolute error at noise level t = {t:g}."
            yardstick = f"from the number of atoms alone; EDM's classifier {like.judge:g}"
            named = f"{name} at t = {t:g} ({like.unit})"
            rows.append(Metric(named, like.scale * ours, "lower", meaning, like.scale * alone, yardstick))
    return rows


def _names(regressor: Regressor) -> list[str]:
    assert regressor.origin is not None
    return list(regressor.origin.metadata["properties"])


@cache
def judge_of_qm9() -> Regressor:
    """The shipped judge."""
    return load_regressor(JUDGE)


@cache
def own_errors() -> Float[Tensor, " properties"]:
    """How far the judge is from the truth of held-out molecules, in the units of the data."""
    judge, found = judge_of_qm9(), data.reference("qm9")[:MOST]
    return absolute_errors(read_off(judge, found), true_properties(found, _names(judge)))
