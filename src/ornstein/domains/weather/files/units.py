"""Units as CF writes them, and what turns a number of one into a number of the other: y = factor x + offset.

A small grammar, products of powers: "m s-1", "m s**-1", "m/s", "kg m^-2", "degC", "hPa", "mm/day". A depth of water in
mm is taken for kg m⁻², as 1 kg of it on 1 m² is 1 mm deep.
"""

import re
from math import isclose

from ....errors import InputError

Dimension = tuple[float, ...]
Unit = tuple[float, float, Dimension]
"""Factor, offset to SI, and powers of kg, m, s, K, mol, rad."""

_BASE = {"kg": 0, "m": 1, "s": 2, "K": 3, "mol": 4, "rad": 5}


def _dimension(**powers: float) -> Dimension:
    found = [0.0] * len(_BASE)
    for name, power in powers.items():
        found[_BASE[name]] = power
    return tuple(found)


_NONE = _dimension()
_PASCAL = _dimension(kg=1, m=-1, s=-2)
_JOULE = _dimension(kg=1, m=2, s=-2)
_UNITS: dict[str, Unit] = {
    **dict.fromkeys(
        ("1", "", "fraction", "dimensionless", "-", "none", "(0-1)", "0-1", "proportion"), (1.0, 0.0, _NONE)
    ),
    **dict.fromkeys(("%", "percent", "pct"), (0.01, 0.0, _NONE)),
    **dict.fromkeys(("okta", "oktas"), (0.125, 0.0, _NONE)),
    "kg": (1.0, 0.0, _dimension(kg=1)),
    "g": (1e-3, 0.0, _dimension(kg=1)),
    "mg": (1e-6, 0.0, _dimension(kg=1)),
    "ug": (1e-9, 0.0, _dimension(kg=1)),
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters", "gpm"), (1.0, 0.0, _dimension(m=1))),
    **dict.fromkeys(("cm", "centimetre", "centimeter"), (1e-2, 0.0, _dimension(m=1))),
    **dict.fromkeys(("mm", "millimetre", "millimeter", "millimetres", "millimeters"), (1e-3, 0.0, _dimension(m=1))),
    **dict.fromkeys(("km", "kilometre", "kilometer", "kilometres", "kilometers"), (1e3, 0.0, _dimension(m=1))),
    **dict.fromkeys(("dam", "gpdam"), (10.0, 0.0, _dimension(m=1))),
    **dict.fromkeys(("ft", "foot", "feet"), (0.3048, 0.0, _dimension(m=1))),
    **dict.fromkeys(("in", "inch", "inches"), (0.0254, 0.0, _dimension(m=1))),
    **dict.fromkeys(("mile", "miles", "mi"), (1609.344, 0.0, _dimension(m=1))),
    **dict.fromkeys(("s", "sec", "second", "seconds"), (1.0, 0.0, _dimension(s=1))),
    **dict.fromkeys(("min", "minute", "minutes"), (60.0, 0.0, _dimension(s=1))),
    **dict.fromkeys(("h", "hr", "hour", "hours"), (3600.0, 0.0, _dimension(s=1))),
    **dict.fromkeys(("d", "day", "days"), (86400.0, 0.0, _dimension(s=1))),
    **dict.fromkeys(("K", "kelvin", "Kelvin", "degK", "deg_K"), (1.0, 0.0, _dimension(K=1))),
    **dict.fromkeys(
        (
            "degC",
            "deg_C",
            "°C",
            "C",
            "celsius",
            "Celsius",
            "degree_Celsius",
            "degrees_Celsius",
            "degrees_C",
            "degree_C",
        ),
        (1.0, 273.15, _dimension(K=1)),
    ),
    **dict.fromkeys(
        ("degF", "deg_F", "°F", "F", "fahrenheit", "Fahrenheit", "degree_Fahrenheit"),
        (5 / 9, 459.67 * 5 / 9, _dimension(K=1)),
    ),
    **dict.fromkeys(("Pa", "pascal", "Pascal"), (1.0, 0.0, _PASCAL)),
    **dict.fromkeys(("hPa", "mbar", "mb", "millibar", "millibars"), (100.0, 0.0, _PASCAL)),
    "kPa": (1e3, 0.0, _PASCAL),
    "bar": (1e5, 0.0, _PASCAL),
    "N": (1.0, 0.0, _dimension(kg=1, m=1, s=-2)),
    "J": (1.0, 0.0, _JOULE),
    "kJ": (1e3, 0.0, _JOULE),
    "MJ": (1e6, 0.0, _JOULE),
    "W": (1.0, 0.0, _dimension(kg=1, m=2, s=-3)),
    "kW": (1e3, 0.0, _dimension(kg=1, m=2, s=-3)),
    **dict.fromkeys(("mol", "mole"), (1.0, 0.0, _dimension(mol=1))),
    **dict.fromkeys(("kn", "knot", "knots", "kt", "kts"), (1852 / 3600, 0.0, _dimension(m=1, s=-1))),
    **dict.fromkeys(("mph",), (1609.344 / 3600, 0.0, _dimension(m=1, s=-1))),
    **dict.fromkeys(("kmh", "kph"), (1 / 3.6, 0.0, _dimension(m=1, s=-1))),
    "mps": (1.0, 0.0, _dimension(m=1, s=-1)),
    **dict.fromkeys(("rad", "radian", "radians"), (1.0, 0.0, _dimension(rad=1))),
    **dict.fromkeys(("degree", "degrees", "deg", "°"), (0.017453292519943295, 0.0, _dimension(rad=1))),
}
_WATER = _dimension(kg=1, m=-3)
_TOKEN = re.compile(r"([^\d\s^*/.·+-]+|%|1(?!\d))(?:\^|\*\*)?(-?\d+)?")


def parsed(unit: str) -> Unit | None:
    """What a unit is; None if it is not known.

    Args:
        unit: as a file has it.
    """
    text = unit.strip().translate(str.maketrans("⁻⁰¹²³⁴−", "-01234-"))
    if text in _UNITS:
        return _UNITS[text]
    factor, powers, sign = 1.0, [0.0] * len(_BASE), 1
    at = 0
    while at < len(text):
        if text[at] in " .·*":
            at += 1
        elif text[at] == "/":
            sign, at = -1, at + 1
        else:
            found = _TOKEN.match(text, at)
            one = _UNITS.get(found[1]) if found else None
            if found is None or one is None:
                return None
            power = sign * int(found[2] or 1)
            factor *= one[0] ** power
            powers = [a + power * b for a, b in zip(powers, one[2], strict=True)]
            at = found.end()
    return factor, 0.0, tuple(powers)


def conversion(unit: str, wanted: str, where: object) -> tuple[float, float]:
    """Factor and offset from one unit to another, (1, 0) where they are the same or one of both is not said.

    InputError if one is not known, or they measure different things.

    Args:
        unit: of the numbers.
        wanted: that they are to have.
        where: the numbers stand, such as a path and a variable.
    """
    if not unit.strip() or not wanted.strip() or unit.strip() == wanted.strip():
        return 1.0, 0.0
    ours, theirs = parsed(unit), parsed(wanted)
    if ours is None or theirs is None:
        raise InputError(f"{where}: the unit is {unit!r}, expected {wanted!r} or one that is known to convert to it")
    factor = ours[0] / theirs[0]
    if ours[2] != theirs[2]:
        difference = tuple(a - b for a, b in zip(ours[2], theirs[2], strict=True))
        if difference not in (_WATER, tuple(-one for one in _WATER)):
            raise InputError(f"{where}: the unit is {unit!r}, which does not measure what {wanted!r} does, as expected")
        factor *= 1e-3 if difference == _WATER else 1e3
    offset = (ours[1] - theirs[1]) / theirs[0]
    return (1.0, 0.0) if isclose(factor, 1, rel_tol=1e-12) and offset == 0 else (factor, offset)
