"""Space and network: positions without translation times masked elements, and a transformer that turns with them.

Elements become masks while positions become a cloud, each in a time of its own. Noise of 1 Å hides all bonds, though
molecules are wider: most of the time of positions is spent below. Bonds are as long in large molecules as in small
ones, so noise is in units of Å that do not grow with the molecules: at each time it is as strong, beside a bond, as in
QM9, and networks see the same lengths. At the end it hides all, since α = 0.

An element that was revealed stays as it is: on a path of a power p above 1, t_elements = 1 − (1 − t_positions)^p, most
are decided once positions say something of them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...networks import MolecularConfig, MolecularRegressor, MolecularTransformer
from ...schedules import Cosine, Scaled, Slowed
from ...spaces import Categorical, Centered, Product, TimePath

UNIT = 1.4
"""Å: of positions, unless their own spread is smaller; about QM9's. Drug-like molecules of 50 atoms have 2.5 Å."""


def space(metadata: Mapping[str, Any], element_power: float = 1.0) -> Product:
    """Positions in Å, noised in units of UNIT; elements with the bound of their likelihood as their loss.

    Args:
        metadata: of the data that the model was trained on, in JSON values.
        element_power: p of the path, above.
    """
    length, unit = metadata["length"], min(metadata["std"], UNIT)
    positions = Centered((length, 3), Scaled(Slowed(Cosine()), unit), unit)
    atoms = replace(Categorical.masked((length,), len(metadata["elements"])), weighting="counted")
    return Product({"positions": positions, "atoms": atoms}, {"atoms": 0.3}, TimePath.power(element_power, "atoms"))


def build(config: MolecularConfig, metadata: Mapping[str, Any]) -> MolecularTransformer:
    """A fresh network for the data's elements and properties."""
    elements = len(metadata["elements"])
    return MolecularTransformer(config, elements + 1, elements, len(metadata["properties"]))


def build_regressor(config: MolecularConfig, metadata: Mapping[str, Any]) -> MolecularRegressor:
    """A fresh network that predicts the data's properties of noisy molecules."""
    return MolecularRegressor(config, len(metadata["elements"]) + 1, len(metadata["properties"]))
