"""The weights of one model of molecules as the beginning of another, whose data have other elements or properties.

Elements are rows of some tensors, ordered by protons, behind them the mask where there is one. The row of an element
that the first model did not know is that of its lightest relative in the periodic table (S begins as O, Br as F), else
that of carbon. Layers see lengths in the same units whatever the size of the molecules (network.UNIT), and stay.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

_STATES = {"atoms.weight": 0, "recollection.atoms.weight": 1}  # name → dimension of the elements and the mask
_ELEMENTS = {"elements.weight": 0, "elements.bias": 0}
_TOLD = "told."
_RELATIVES = ((5, 13), (6, 14, 32, 50), (7, 15, 33, 51), (8, 16, 34, 52), (9, 17, 35, 53))
CARBON = 6


def transferred(
    tensors: Mapping[str, Tensor], theirs: Mapping[str, Any], ours: Mapping[str, Any]
) -> tuple[dict[str, Tensor], str]:
    """The tensors for a network of our data, and in words what was changed.

    Args:
        tensors: of the other model, by name.
        theirs, ours: metadata of the data of the other model and of ours, in JSON values.
    """
    origins = [_origin(number, theirs["elements"]) for number in ours["elements"]]
    rows = [theirs["elements"].index(number) for number in origins]
    dimensions = {**_STATES, **_ELEMENTS}
    told = list(theirs["properties"]) == list(ours["properties"])
    found = {
        name: value.index_select(dimensions[name], value.new_tensor(_with_mask(name, rows, theirs)).long())
        if name in dimensions
        else value
        for name, value in tensors.items()
        if told or not name.startswith(_TOLD)
    }
    return found, "; ".join([*_as(ours["elements"], origins), *([] if told else ["properties are learned anew"])])


def _with_mask(name: str, rows: list[int], theirs: Mapping[str, Any]) -> list[int]:
    return [*rows, len(theirs["elements"])] if name in _STATES else rows


def _origin(number: int, known: Sequence[int]) -> int:
    """The element whose row one with so many protons begins with."""
    family = next((family for family in _RELATIVES if number in family), ())
    return next((one for one in (number, *family, CARBON) if one in known), known[-1])


def _as(elements: Sequence[int], origins: Sequence[int]) -> list[str]:
    from ase.data import chemical_symbols

    new = [(a, b) for a, b in zip(elements, origins, strict=True) if a != b]
    return [f"{chemical_symbols[a]} begins as {chemical_symbols[b]}" for a, b in new]
