"""Whether molecules are plausible in space, by the checks of PoseBusters (Buttenschoen et al. 2024)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....deferred import deferred
from ....errors import InputError

if TYPE_CHECKING:
    from rdkit import Chem, rdBase
else:
    Chem, rdBase = deferred("rdkit.Chem"), deferred("rdkit.rdBase")


def passing(mols: Sequence[Chem.Mol]) -> float:
    """The share that passes the checks of single molecules: sanity, bonds, angles, clashes, flat rings; .2 s each.

    Its energy ratio is left out: the conformers that it makes take half a minute for a cage of rings and may fail, and
    relaxation.py measures strain better. InputError if PoseBusters is not installed.
    """
    try:
        from posebusters import PoseBusters
    except ImportError:
        raise InputError("this check needs 'posebusters': pip install posebusters") from None
    with rdBase.BlockLogs(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = PoseBusters(config=_without_energy(PoseBusters(config="mol").config)).bust(list(mols))
    return float(table.all(axis=1).mean())


def _without_energy(config: dict[str, Any]) -> dict[str, Any]:
    modules = [module for module in config["modules"] if module["function"] != "energy_ratio"]
    return {**config, "modules": modules}
