"""Formulas such as C6H6O: which atoms a molecule has, in the order of the formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ....deferred import deferred
from ....errors import InputError

if TYPE_CHECKING:
    from ase import data as periodic
else:
    periodic = deferred("ase.data")

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_ONE = re.compile(r"([A-Z][a-z]?)([0-9]{0,4})", re.ASCII)
_ELSE = {
    "+": "a charge: only neutral molecules are drawn",
    "-": "a charge: only neutral molecules are drawn",
    "[": "an isotope or a charge: elements alone are drawn",
    "^": "an isotope or a charge: elements alone are drawn",
    "(": "brackets: write how many atoms of each element there are, as in C6H6O",
    ".": "several molecules: say one",
    "·": "several molecules: say one",
}
_VALENCES = {1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 17: 1, 35: 1, 53: 1}


def protons_of(formula: str, where: str) -> tuple[int, ...]:
    """The numbers of protons of a formula's atoms, in its order; an element may stand twice, as in C2H5OH.

    Args:
        formula: neutral, without isotopes and brackets; subscripts may be Unicode's.
        where: it was said, for errors.

    InputError for anything else.
    """
    text = "".join(formula.translate(_SUBSCRIPTS).split())
    for sign, why in _ELSE.items():
        if sign in text:
            raise InputError(f"{where}: {sign!r} is {why}")
    found: list[int] = []
    place = 0
    while place < len(text):
        one = _ONE.match(text, place)
        if one is None:
            raise InputError(f"{where}: {text[place:]!r} is no element with a number, expected such as C6H6O")
        found += [_protons(one[1], where)] * _count(one, where)
        place = one.end()
    if not found:
        raise InputError(f"{where}: is empty, expected such as C6H6O")
    return tuple(found)


def _protons(symbol: str, where: str) -> int:
    if symbol in ("D", "T"):
        raise InputError(f"{where}: {symbol} is an isotope of hydrogen: elements alone are drawn, so write H")
    protons = periodic.atomic_numbers.get(symbol, 0)
    if not protons:
        raise InputError(f"{where}: {symbol!r} is no element")
    return protons


def _count(one: re.Match[str], where: str) -> int:
    count = int(one[2] or 1)
    if not count:
        raise InputError(f"{where}: {one[0]} says none of it: leave it out")
    return count


def doubts(protons: tuple[int, ...], formula: str) -> list[str]:
    """What makes a formula that of no closed-shell molecule in one piece, in words; nothing for most.

    Args:
        protons: of each atom.
        formula: what the notes call it.
    """
    if sum(protons) % 2:
        return [f"{formula} has an odd number of electrons: no molecule of this formula is without a radical"]
    if any(z not in _VALENCES for z in protons):
        return []
    if sum(_VALENCES[z] - 2 for z in protons) + 2 < 0:
        return [f"{formula} has more hydrogens and halogens than one molecule binds"]
    return []
