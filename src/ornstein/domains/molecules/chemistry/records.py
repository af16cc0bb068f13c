"""What the readers of molecules share: records, what is wrong with them, and fields that become properties.

Nothing is lost in silence: a record is read, or named with the reason; a value is a number, or counted in a note.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from .molecule import Molecule

FARTHEST = 1e5
"""Å: coordinates beyond are no molecule's."""

MOST = 999
"""Atoms of a molecule that is learned from, as of a MOL block: a network looks at every pair of them."""

SEVERAL = "several pieces, such as a salt, taken as one molecule"
"""A remark."""


LACKING = "without all hydrogens that its bonds ask for; a model draws molecules as it has seen them"
"""A remark on what is learned from; of a fragment to build around it is no news."""


class Fault(ValueError):
    """What is wrong with a record."""


@dataclass(frozen=True)
class Record:
    """One molecule of a file.

    Attributes:
        molecule: without properties.
        fields: what the file says of it beside, as text or as values.
        remarks: what else should be known of it, in words that other records share.
    """

    molecule: Molecule
    fields: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()


class Found(NamedTuple):
    """What was read.

    Attributes:
        molecules: the good ones.
        bad: file, number and reason of every record that was left out.
        notes: what else should be known: values that are no numbers, molecules in several pieces.
    """

    molecules: list[Molecule]
    bad: list[str]
    notes: list[str]


def lines_of(text: str) -> list[str]:
    """Lines as editors see them: `str.splitlines` would end one at rare characters inside of names, too."""
    lines = re.split(r"\r\n|\n|\r", text)
    return lines if lines[-1] else lines[:-1]


def sound(molecule: Molecule) -> Molecule:
    """The molecule; a fault if it has no atoms, or some without an element or a place."""
    if not len(molecule):
        raise Fault("has no atoms")
    if (molecule.numbers == 0).any():
        raise Fault(f"atom {molecule.numbers.argmin() + 1} is of no element")
    if not np.isfinite(molecule.positions).all():
        raise Fault("has coordinates that are not finite")
    if (far := np.abs(molecule.positions).max()) > FARTHEST:
        raise Fault(f"has a coordinate of {far:.4g} Å, expected at most {FARTHEST:g}")
    return molecule


def require_geometry(molecule: Molecule) -> None:
    """A fault if nothing can be learned from how the atoms are placed: one, too many, or several at one place."""
    if len(molecule) > MOST:
        raise Fault(f"has {len(molecule)} atoms, expected at most {MOST}")
    if len(molecule) == 1:
        raise Fault("is a single atom, which has no geometry")
    _, first, counts = np.unique(molecule.positions.round(3), axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        raise Fault(f"{counts.max()} atoms are at one place, atom {first[counts.argmax()] + 1} is one of them")


# Charges --------------------------------------------------------------------------------------------

_CHARGE = r"(?:(?:pubchem|total|net|formal|molecular)[ _]?){0,3}(?:charge|chrg)"
_CHARGE_NAME = re.compile(_CHARGE, re.IGNORECASE)
_CHARGE_SAID = re.compile(rf"(?<![\w.]){_CHARGE}\s*[:= ]\s*[\"']?([+-]?\d+(?:\.\d*)?[+-]?)(?![\w.])", re.IGNORECASE)


def require_neutral(charge: float) -> None:
    """A fault for an ion."""
    if charge:
        raise Fault(f"its charge is {charge:+g}, expected a neutral molecule")


def without_charge(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields less that of the molecule's charge; a fault if it says an ion."""
    for name, value in fields.items():
        if _CHARGE_NAME.fullmatch(name.strip()) and (charge := charge_in(f"charge={value}")) is not None:
            require_neutral(charge)
    return {name: value for name, value in fields.items() if not _CHARGE_NAME.fullmatch(name.strip())}


def charge_in(text: str) -> float | None:
    """The charge that a line says, as in "charge=-1", "Charge: 2+"; None if it says none."""
    if not (said := _CHARGE_SAID.search(text)):
        return None
    value = said[1]
    return float(value if value[-1] not in "+-" else value[-1] + value[:-1].lstrip("+-"))


# Fields ---------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?\s*", re.ASCII)


def number(value: Any) -> float | None:
    """A value as a number, which may be infinite or NaN; None if it is no number."""
    if isinstance(value, Real) and not isinstance(value, bool | np.bool_):
        return float(value)
    if not isinstance(value, str):
        return None
    if _NUMBER.fullmatch(value):
        return float(re.sub("[dD]", "e", value))
    return float(value) if re.fullmatch(r"\s*[+-]?(inf|infinity|nan)\s*", value, re.IGNORECASE) else None


@dataclass
class Tally:
    """Values that are no numbers and remarks on records: counted, with the first of each.

    Attributes:
        largest: numbers beyond are left out as infinite ones are.
    """

    largest: float = inf
    _fields: Counter[str] = field(default_factory=Counter)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _first: dict[tuple[str, str], str] = field(default_factory=dict)

    def numbers(self, fields: Mapping[str, Any], where: str) -> dict[str, float]:
        """Those fields that are numbers."""
        found = {}
        for name, value in fields.items():
            self._fields[name] += 1
            read = number(value)
            if read is not None and isfinite(read) and abs(read) <= self.largest:
                found[name] = read
            else:
                reason = "no number" if read is None else "not finite" if not isfinite(read) else "too large"
                self._count((name, reason), f"{_short(value)} in {where}")
        return found

    def remark(self, remarks: Sequence[str], where: str) -> None:
        """Counts remarks on a record."""
        for remark in remarks:
            self._count(("", remark), where)

    def notes(self) -> list[str]:
        """All of it, in words."""
        return [self._note(name, reason) for name, reason in self._counts]

    def _count(self, key: tuple[str, str], example: str) -> None:
        self._counts[key] += 1
        self._first.setdefault(key, example)

    def _note(self, name: str, reason: str) -> str:
        count, first = self._counts[name, reason], self._first[name, reason]
        if not name:
            return f"{reason}: {count} records, the first is {first}"
        return f"field {name!r} is {reason} in {count} of {self._fields[name]} records ({first}): unknown there"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
