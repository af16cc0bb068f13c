"""Molecules in three dimensions: whole ones, guided by what is wanted of them."""

from typing import TYPE_CHECKING

from ...deprecation import names
from .bounds import conformer_bounds
from .factors import (
    clash_penalty,
    docking_energy,
    element_count,
    energy,
    fixed,
    hydrogen_bond,
    property_condition,
    property_regressor,
    property_value,
)

__all__ = [
    "clash_penalty",
    "conformer_bounds",
    "docking_energy",
    "element_count",
    "energy",
    "fixed",
    "hydrogen_bond",
    "property_condition",
    "property_regressor",
    "property_value",
]


if not TYPE_CHECKING:  # old names, for one version
    __getattr__ = names(
        __name__,
        {
            "apart": "clash_penalty",
            "bound": "docking_energy",
            "counted": "element_count",
            "foreseen": "property_value",
            "predicted": "property_regressor",
            "relaxed": "energy",
            "wanted": "property_condition",
        },
    )
