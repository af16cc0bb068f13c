"""Samples as what other packages work with: arrays, tables, labelled arrays, and what a domain adds, such as molecules.

samples.to_numpy()    the clean states: an array, or a dict of them by name
samples.to_pandas()   a row a sample: what is said of each, and how it was drawn
samples.to_xarray()   along the dimension "number", as files have it, with coordinates and units
samples.to_rdkit()    of molecules; each domain's own are in `Task.conversions`, which come before these
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..errors import needed_for
from .native.members import NUMBER
from .native.netcdf import Variable
from .registry import task

if TYPE_CHECKING:
    from .samples import Samples

_PREFIX = "to_"
_SMALL = 16
"""Numbers of a state that are columns of a table, at most."""


class Convertible:
    """What makes `to_NAME` of samples: the conversions of their domain, then those of any."""

    def to_numpy(self) -> Any:
        """The clean states, (n, ...), in the units of the domain; a dict of arrays where a state has several parts."""
        return _of(self, "numpy")

    def to_pandas(self) -> Any:
        """A table with a row a sample, whose index is its number.

        Columns are what the domain says of a sample in a word or a number, what is said of each, what it was given, and
        from which first particle it descends (`genealogy`). `attrs` hold the model, the seed and how exact they are.
        InputError without pandas.
        """
        return _of(self, "pandas")

    def to_xarray(self) -> Any:
        """A Dataset along "number", the number of the sample, or as the domain's files have it, with units.

        Its attributes hold the model, the seed and how exact the samples are. InputError without xarray.
        """
        return _of(self, "xarray")

    def __getattr__(self, name: str) -> Callable[[], Any]:
        """A conversion of the domain's own, such as `to_rdkit`."""
        if not name.startswith(_PREFIX):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        known = conversions_of(self)
        if name.removeprefix(_PREFIX) not in known:
            listed = ", ".join(f"{_PREFIX}{one}" for one in sorted(known))
            raise AttributeError(f"samples of this kind have no {name}, expected {listed}")
        return lambda: _of(self, name.removeprefix(_PREFIX))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(f"{_PREFIX}{one}" for one in conversions_of(self))})


def conversions_of(samples: Any) -> dict[str, Callable[[Any], Any]]:
    """What samples can become, by name.

    Args:
        samples: of a model, or of a denoiser of one's own.
    """
    own = task(samples.origin.domain).conversions if samples.origin else {}
    return {"numpy": numpy, "pandas": pandas, "xarray": xarray, **own}


def _of(samples: Any, name: str) -> Any:
    return conversions_of(samples)[name](samples)


# Of any samples ---------------------------------------------------------------------------------------


def numpy(samples: "Samples") -> Any:
    """The clean states: an array (n, ...), or a dict of them by the names of their parts.

    Args:
        samples: of any kind.
    """
    x = samples.x
    return _array(x) if isinstance(x, Tensor) else {name: _array(leaf) for name, leaf in x.items()}


def pandas(samples: "Samples", columns: Mapping[str, Sequence[Any]] | None = None) -> Any:
    """A table with a row a sample; see `Convertible.to_pandas`.

    Args:
        samples: of any kind.
        columns: what the domain says of each sample, a value each by name; they come first. Numbers of small states,
            if not given.
    """
    with needed_for("to_pandas", "weather"):
        import pandas
    index = pandas.Index(range(samples.first, samples.first + len(samples)), name=NUMBER)
    said = dict(_numbers(samples.x) if columns is None else columns)
    descent = {} if samples.genealogy is None else {"genealogy": samples.genealogy.tolist()}
    others = {**_scalars(samples), **samples.each, **descent}
    said |= {name: list(values) for name, values in others.items() if name not in said}
    frame = pandas.DataFrame(said, index=index)
    frame.attrs.update(about(samples))
    return frame


def xarray(samples: "Samples", variables: Mapping[str, Variable] | None = None) -> Any:
    """A Dataset along "number"; see `Convertible.to_xarray`.

    Args:
        samples: of any kind.
        variables: by name, each with its axes, name and unit; one that is called as an axis is its coordinate. The
            states with axes that are counted, if not given.
    """
    with needed_for("to_xarray", "fields"):
        import xarray
    if variables is None:
        x = samples.x if isinstance(samples.x, Mapping) else {"x": samples.x}
        variables = {name: _counted(name, _array(leaf)) for name, leaf in x.items()}
    numbers = np.arange(samples.first, samples.first + len(samples))
    beside = {name: (NUMBER, np.asarray(values)) for name, values in _scalars(samples).items() if name not in variables}
    made = {name: (tuple(one.axes), one.values, _attributes(one)) for name, one in variables.items()}
    return xarray.Dataset({**made, **beside}, attrs=about(samples)).assign_coords(
        {NUMBER: (NUMBER, numbers, {"long_name": "number of the sample"})} if NUMBER not in made else {}
    )


def about(samples: "Samples") -> dict[str, Any]:
    """How samples were drawn, in words and numbers: the model, the seed, and how exact they are.

    Args:
        samples: of any kind.
    """
    origin, seed = samples.origin, samples.settings.get("seed")
    said = {"model": f"{origin.domain}/{origin.name}", "weights": origin.weights} if origin else {}
    return {**said, **({} if seed is None else {"seed": seed}), "exactness": samples.verdict}


def _array(leaf: Tensor) -> np.ndarray:
    return leaf.detach().cpu().numpy()


def _numbers(x: Any) -> dict[str, list[Any]]:
    """The numbers of states that have few, by name."""
    parts = x if isinstance(x, Mapping) else {"x": x}
    flat = {name: leaf.detach().cpu().reshape(len(leaf), -1) for name, leaf in parts.items()}
    if sum(leaf.shape[1] for leaf in flat.values()) > _SMALL:
        return {}
    return {f"{name}{k}": leaf[:, k].tolist() for name, leaf in flat.items() for k in range(leaf.shape[1])}


def _scalars(samples: "Samples") -> dict[str, list[Any]]:
    """The conditions that are one number a sample."""
    return {name: value.tolist() for name, value in samples.condition.items() if value.ndim == 1}


def _counted(name: str, values: np.ndarray) -> Variable:
    return Variable((NUMBER, *(f"{name}_{k}" for k in range(1, values.ndim))), values, name, "")


def _attributes(variable: Variable) -> dict[str, str]:
    return {"long_name": variable.name, **({"units": variable.unit} if variable.unit else {})}
