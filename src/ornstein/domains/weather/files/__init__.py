"""Forecasts and truths as files bring them: NetCDF, Zarr, GRIB, tables of stations."""

from .grids import Grid
from .pairs import Pairs, Read
from .regridding import Regridding

__all__ = ["Grid", "Pairs", "Read", "Regridding"]
