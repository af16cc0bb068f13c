"""Molecules to turn with the mouse, in HTML that fetches nothing: 3Dmol.js is in the package (report/vendor/3dmol)."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....deferred import deferred
from ....report import pictures
from ....tasks.figures import Interactive
from ....text.escaping import document, html
from .drawing import COLOURS, view_of
from .molecule import Molecule

if TYPE_CHECKING:
    from ase import data as periodic
else:
    periodic = deferred("ase.data")

_CELL = 230  # pixels, the widest a view gets
_NAME = (
    "position:absolute;transform:translate(-50%,-100%);z-index:1;pointer-events:none;color:#5b6675;font-size:.8rem;"
    "text-align:center;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
)


def viewer(molecules: Sequence[Molecule | str], columns: int = 4, spin: bool = False) -> str:
    """A grid of views as HTML, to be followed once on a page by `script()`.

    Args:
        molecules: in space, bonds by distance; or records of an SD file, with the bonds written there.
        spin: turn without being asked to.
        columns: pictures a row.
    """
    columns = max(min(columns, len(molecules)), 1)
    rows = max(-(-len(molecules) // columns), 1)
    colours = {periodic.chemical_symbols[number]: f"#{code:06x}" for number, code in COLOURS.items()}
    parts = [_record(molecule) for molecule in molecules]
    data = {"columns": columns, "rows": rows, "molecules": parts, "colours": colours, "spin": spin}
    shape = f"position:relative;width:100%;max-width:{columns * _CELL}px;aspect-ratio:{columns}/{rows}"
    names = "".join(_label(part["name"], k, columns, rows) for k, part in enumerate(parts))
    return f'<div class="molecules" style="{shape}" data-molecules="{html(json.dumps(data))}">{names}</div>'


def interactive(molecules: Sequence[Molecule | str], caption: str, columns: int = 4, spin: bool = False) -> Interactive:
    """The grid as a figure of a report or a notebook.

    Args:
        molecules: elements and positions in Å.
        caption: text below the figure.
        columns: pictures a row.
        spin: whether the molecules rotate until they are touched.
    """
    return Interactive(viewer(molecules, columns, spin), caption, script())


def page_of(fragment: str, title: str = "Molecules") -> str:
    """A whole page of one grid, for a file of its own."""
    return document(title, fragment, "body { font-family: system-ui, sans-serif }", [script()])


@cache
def script() -> str:
    """JavaScript that fills all grids on a page; harmless if it runs again."""
    vendor = Path(pictures.__file__).parent / "vendor" / "3dmol"
    licence, library = (vendor / "LICENSE").read_text(), (vendor / "3Dmol-min.js").read_text()
    ours = Path(__file__).with_suffix(".js").read_text()
    # Notebooks have a module loader, to which the library would announce itself instead of to the page.
    return f"/*!\n{licence}*/\nif(!window.$3Dmol)(function(define,exports,module){{{library}\n}}).call(window);\n{ours}"


def _record(molecule: Molecule | str) -> dict[str, Any]:
    if isinstance(molecule, str):
        return {"name": molecule.partition("\n")[0].strip(), "format": "sdf", "text": molecule}
    places = view_of(molecule).seen(molecule.positions)
    lines = [
        f"{periodic.chemical_symbols[number]} {x:.4f} {y:.4f} {z:.4f}"
        for number, (x, y, z) in zip(molecule.numbers, places, strict=True)
    ]
    return {"name": molecule.name, "format": "xyz", "text": "\n".join([str(len(lines)), "", *lines])}


def _label(name: str, k: int, columns: int, rows: int) -> str:
    """A name at the foot of view k."""
    left, top = (k % columns + 0.5) / columns, (k // columns + 1) / rows
    place = f"left:{left:.2%};top:{top:.2%};width:{0.94 / columns:.2%}"
    return f'<span style="{_NAME};{place}">{html(name)}</span>' if name else ""
