"""A forecast to try a model on: a few times of the quasi-geostrophic world, which no shipped model has learned from.

    python -m ornstein.domains.weather.examples FOLDER
    ornstein sample weather/qg --forecast FOLDER/forecast.nc --truth FOLDER/truth.nc --members 20 --out ensemble

Five of the last times of `ornstein data weather-qg`, 150 days or more apart, in steps of the values of 1/30000 of
their range. Made by Ornstein, and as free as it is: Apache License 2.0, which the files say, too.
"""

import sys
from pathlib import Path
from shutil import copyfile

SHIPPED = Path(__file__).with_name("qg-sample")
FORECAST, TRUTH = SHIPPED / "forecast.nc", SHIPPED / "truth.nc"
LICENCE = SHIPPED / "LICENSE.txt"
VARIABLES, SHAPE, HOURS = ("streamfunction", "vorticity"), (64, 64), (48.0, 96.0, 192.0)
"""What is in them."""


def write(folder: Path) -> list[Path]:
    """Copies the forecast, what happened, and their licence into a folder, which is made; returns the files.

    Args:
        folder: for the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(copyfile(path, folder / path.name)) for path in (FORECAST, TRUTH, LICENCE)]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    print(*write(Path(sys.argv[1])), sep="\n")
