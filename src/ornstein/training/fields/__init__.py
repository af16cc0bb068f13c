"""Fields as large as they are: data sets over Zarr, NetCDF, HDF5 and NumPy files, and what is measured of them.

data = open_fields("era5-*.zarr", Layout(state=["t2m", "z"], static=["lsm"]), bound=2 * GB)
train, validation, test = data.split(0.8, 0.1, 0.1)
known = measured(train, folder / "statistics.safetensors")
train, validation = known.standardised(train), known.standardised(validation)
"""

from .data import FieldData, open_fields
from .given import FACTS, Given, open_given, standardised
from .layout import Layout
from .statistics import Statistics, measured

__all__ = [
    "FACTS",
    "FieldData",
    "Given",
    "Layout",
    "Statistics",
    "measured",
    "open_fields",
    "open_given",
    "standardised",
]
