"""The figure of docs/pictures.md: sixteen prompts in three styles, and the way from one prompt to another.

    python -m benchmarks.pictures_figure --out docs/pictures.png

draws 80 pictures at the default settings, seed 0: none is left out, and none is chosen. About a minute on two cores.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

import ornstein as on
from ornstein.domains.images.requests import ImagesRequest
from ornstein.domains.images.vision.examples import PROMPTS
from ornstein.report import walls

COLUMNS = 16
STYLES = ("openmoji", "openmoji", "twemoji", "noto")
WAY = "a red heart TO a yellow star"


def figure(model: on.NeuralDenoiser, **options: Any) -> bytes:
    """A PNG of a row a style and, below, the way."""
    words = ImagesRequest(prompt=PROMPTS[:COLUMNS], label=STYLES)
    rows = on.draw(model, words, COLUMNS * len(STYLES), **options)
    way = on.draw(model, ImagesRequest(prompt=(WAY,), way=COLUMNS), COLUMNS, **options)
    return walls.wall(torch.cat([rows.x, way.x]), COLUMNS, "").image


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="images/openmoji")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures.png"))
    args = parser.parse_args()
    args.out.write_bytes(figure(on.load(args.model)))
