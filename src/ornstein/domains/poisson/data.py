"""The data: sources made when they are asked for, or those of the user's files; what is measured of them.

States are standardised, x = (ρ − mean)/std, (1, *grid) float32. Their spectrum is that of waves which are mirrored at
the borders (cosine), as nothing is known of a source there. What is made is a function of a record's number alone, so
that a million records cost no memory and a training never sees one twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from ...denoisers.base import Condition
from ...errors import InputError
from ...files import MB, Within
from ...keys import Keys
from ...spectral.roots import Spectral
from ...spectral.shells import Shells
from ...spectral.transforms import Separable
from ...training.fields import FieldData, Layout, measured, open_fields
from ...training.fields.source import found_files
from ...training.fields.stores import Opened, Store
from . import sources
from .equations.boundaries import axes_of

MADE = ("gaussian", "discs")
"""The data sets that come with the domain."""
SHAPE, RECORDS, HELD_OUT = (64, 64), 1_000_000, 512
"""Of what is made, if not said: the grid, how many records to learn from, and how many others."""
_MEASURED = 2048  # records, of what is made
_DECAY = {"exponent": Within(float, -100.0, 100.0), "outer": Within(float, 1e-30, 1.0)}
_LAW = {"alpha": Within(float, 1e-3, 1e3), "tau": Within(float, 1e-30, 1e30)}

FACTS: Mapping[str, Any] = {
    "learns": ("sources", "solutions"),
    "data": str,
    "shape": [Within(int, 1, 10**6)],
    "mean": Within(float, -1e30, 1e30),
    "std": Within(float, 1e-30, 1e30),
    "spectrum": (_LAW, _DECAY, Shells.SCHEMA),
    "source": str,
}
"""What the metadata of sources hold, for `Task.facts`."""


def mirrored(axes: int) -> Separable:
    """The waves of a source."""
    return Separable(("cosine",) * axes)


def require_made(config: Any, names: Sequence[str]) -> None:
    """InputError for settings of data sets that are made, which a file has of its own.

    Args:
        config: of a file.
        names: of the data sets that they are for.
    """
    for name in ("shape", "records"):
        if getattr(config, name):
            raise InputError(f"--{name} is for {', '.join(names[:-1])} and {names[-1]}; a file has its own")


@dataclass(frozen=True, eq=False)
class Made:
    """A Dataset of sources that are made when they are asked for.

    Attributes:
        name: of the data set.
        shape: of the grid.
        part: "training", "validation" or "measuring"; no record of one is a record of another.
        count: records.
        std: that records are divided by.
        metadata: of the data.
    """

    name: str
    shape: tuple[int, ...]
    part: str
    count: int
    std: float = 1.0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> None:
        return None

    def __len__(self) -> int:
        return self.count

    def batch(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Condition]:
        """States (batch, 1, *grid) float32."""
        keys = Keys.of(0, index.tolist()).fold(f"sources: {self.part}")
        return (sources.draw(self.name, keys, self.shape) / self.std).float(), {}


def made(name: str, shape: tuple[int, ...], records: int) -> tuple[Made, Made]:
    """Sources of one of the data sets that come with the domain: to learn from, and held out.

    Args:
        name: of the data set.
        shape: of the grid.
        records: to learn from.
    """
    train = Made(name, shape, "training", records)
    std, spectrum = _known(name, shape)
    told = {"learns": "sources", "data": name, "shape": [1, *shape], "mean": 0.0, "std": std, "spectrum": spectrum}
    train = replace(train, std=std, metadata={**told, "source": f"made by ornstein: random sources {name!r}"})
    return train, replace(train, part="validation", count=HELD_OUT)


def _known(name: str, shape: tuple[int, ...]) -> tuple[float, dict[str, Any]]:
    """The spread of a data set about 0, and the spectrum of it at a spread of 1, for the metadata."""
    if name == "gaussian":
        return 1.0, {"alpha": sources.ALPHA, "tau": sources.TAU}
    x, _ = Made(name, shape, "measuring", _MEASURED).batch(torch.arange(_MEASURED))
    std, basis = float(x.double().square().mean().sqrt()), mirrored(len(shape))
    return std, Shells.of(basis.forward(x.double() / std).square().mean(0), basis).record()


def spectrum(metadata: Mapping[str, Any]) -> Spectral:
    """The covariance of a model's states as the metadata have it: a closed form, or what was measured."""
    said = metadata["spectrum"]
    if "alpha" not in said:
        return Shells.from_record(said, "metadata: spectrum").spectral
    exact = sources.gaussian_spectrum(tuple(metadata["shape"][1:]), said["alpha"], said["tau"])
    return Spectral(exact.basis, exact.variance[:, None])


# The user's files -------------------------------------------------------------------------------------


def opened(files: str, memory: float) -> tuple[FieldData, FieldData]:
    """Sources of the user's, records along the first axis: nine tenths to learn from and the rest held out, in order.

    Mean, spread and spectrum of those to learn from are measured in two passes.

    Args:
        files: .npy, .npz, .nc, .h5 or .zarr; a pattern such as "runs/*.nc" for several.
        memory: MB of records in memory.

    InputError names the file, and the record, of what is no field of finite numbers over one to three axes.
    """
    layout = _layout(files)
    train, held_out = open_fields(files, layout, bound=int(memory * MB)).split(0.9, 0.1)
    known, basis = measured(train), mirrored(len(layout.grid))
    train, held_out = (known.standardised(part) for part in (train, held_out))
    power = measured(train, basis=basis).spectrum()
    told = {"learns": "sources", "data": "file", "source": files, "spectrum": Shells.of(power, basis).record()}
    told |= {"mean": known.mean().item(), "std": known.std().item()}
    return train.told(**told), held_out.told(**told)


def _layout(files: str) -> Layout:
    """The array of sources in a file: records first, then one to three axes of the grid."""
    path = found_files(files)[0]
    store = Opened()(path)
    name = _named(store)
    shape = tuple(store.array(name).shape)
    grid = shape[1:] if len(shape) < 3 or shape[1] != 1 else shape[2:]  # or (records, 1, *grid), one channel
    if not 1 <= len(grid) <= 3:
        raise InputError(
            f"{path}: variable {name!r} has the shape {shape}, expected records first, then one to three axes of a grid"
        )
    dims = store.dims(name)
    names = dims or ("record", *["channel"] * (len(shape) - 1 - len(grid)), *axes_of(len(grid)))
    return Layout([name], records=names[:1], grid=names[-len(grid) :], dims={} if dims else {name: names})


def _named(store: Store) -> str:
    """The only array of two axes or more, or that which is called "source"."""
    several = [name for name in store.names() if len(store.array(name).shape) > 1]
    if len(several) == 1:
        return several[0]
    if "source" in several:
        return "source"
    found = ", ".join(several[:12]) or "none"
    raise InputError(
        f"{store.path}: has the arrays {found} of two axes or more, expected one, or one called 'source': records "
        "first, then the grid"
    )
