"""The molecules that --smiles names, as far as the model can know them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ....errors import InputError
from .. import data
from ..chemistry.records import Fault
from ..chemistry.smiles import Named, named_in, parsed, placeless

CONFORMERS = 10
"""Of each molecule, where nobody says how many."""


def wanted(said: Sequence[str], metadata: Mapping[str, Any]) -> tuple[list[Named], list[str]]:
    """The molecules, and which lines of files were left out and why.

    InputError for a SMILES on the command line that cannot be drawn, and for files without one that can.

    Args:
        said: SMILES, or files of them; see `smiles.named_in`.
        metadata: of the data that the model was trained on, in JSON values.
    """
    good: list[Named] = []
    bad: list[str] = []
    for one in named_in(said):
        try:
            _require_drawable(one, metadata)
        except InputError as error:
            if one.where.startswith("--smiles"):
                raise
            bad.append(f"left out: {error}")
        else:
            good.append(one)
    if not good:
        raise InputError(f"--smiles {' '.join(said)}: holds no molecule to draw; {bad[0] if bad else 'it is empty'}")
    return good, bad


def _require_drawable(one: Named, metadata: Mapping[str, Any]) -> None:
    try:
        molecule = placeless(parsed(one.smiles))
    except Fault as fault:
        raise InputError(f"{one.where}: {fault}") from None
    data.require_known(molecule, metadata, one.where)
    if len(molecule) < 2:
        raise InputError(f"{one.where}: one atom has no shape, expected two or more")
