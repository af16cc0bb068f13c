"""Forecasts and truths as files bring them: NetCDF, Zarr, GRIB, tables of stations; see `opened`."""

from .grids import Grid
from .opened import opened, opened_for
from .pairs import Pairs, Read
from .regridding import Regridding

__all__ = ["Grid", "Pairs", "Read", "Regridding", "opened", "opened_for"]
