"""What files hold, by our names: NetCDF, Zarr, GRIB and tables, one or several. Only coordinates are read.

Several files are one data set where their coordinates say how they lie to each other: by time, step, member or
variable. They are read through dask; a single file is read as its own library does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import InputError, needed_for
from ....training.fields.source import found_files
from .names import canonical
from .tables import is_table, of_frame, read_table

if TYPE_CHECKING:
    import xarray

Files = Any
"""A path, a pattern such as "runs/*.nc" or a list of these; an xarray Dataset or DataArray, or a table of pandas."""
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5")
GRIB = (".grib", ".grib2", ".grib1", ".grb", ".grb2")


def read(files: Files, truth: bool = False) -> tuple["xarray.Dataset", str]:
    """What files hold, and their name for errors.

    InputError names the file that is missing, damaged or not of a known format.

    Args:
        files: see `Files`.
        truth: whether a time without a step is a valid time.
    """
    with needed_for("weather", "weather"):
        import xarray
    what = "truth" if truth else "forecast"
    if isinstance(files, xarray.DataArray):
        files = files.to_dataset(name=files.name or what)
    if isinstance(files, xarray.Dataset):
        return canonical(files, what, truth), what
    if hasattr(files, "columns"):  # of pandas
        return canonical(of_frame(files, what), what, truth), what
    paths = found_files(files)
    if len(paths) == 1:
        return canonical(_file(paths[0], None), paths[0], truth), str(paths[0])
    return _several(paths, truth), f"{paths[0]} and {len(paths) - 1} more"


def _file(path: Path, chunks: Any) -> "xarray.Dataset":
    """One file."""
    import xarray

    if not path.exists():
        raise InputError(f"{path}: not found, expected NetCDF, Zarr, GRIB or a table of stations")
    if is_table(path):
        return read_table(path)
    engine = _engine(path)
    if engine == "cfgrib":
        return _grib(path, chunks)
    try:
        more: Any = {"consolidated": _consolidated(path)} if path.is_dir() else {}
        return xarray.open_dataset(path, engine=engine, chunks=chunks, cache=False, decode_timedelta=False, **more)
    except PermissionError:
        raise
    except Exception as error:  # whatever the library of the format says of a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason}), expected NetCDF, Zarr, GRIB or a table") from None


def _consolidated(path: Path) -> bool:
    """Whether a Zarr store says in one place what all of its arrays are; xarray warns of the others."""
    one = path / "zarr.json"
    return (path / ".zmetadata").exists() or (one.exists() and b'"consolidated_metadata": {' in one.read_bytes())


def _engine(path: Path) -> Any:
    if path.is_dir() or path.name.endswith(".zarr.zip"):
        return "zarr"
    with path.open("rb") as file:
        head = file.read(8)
    if head[:4] == b"GRIB" or path.suffix.lower() in GRIB:
        return "cfgrib"
    if head[:3] == b"CDF":
        return "scipy"
    return "h5netcdf" if head[1:4] == b"HDF" else None


def _grib(path: Path, chunks: Any) -> "xarray.Dataset":
    """All messages of a GRIB file; no index is written beside it."""
    import xarray

    with needed_for("GRIB files", "grib"):
        import cfgrib  # pyright: ignore[reportMissingImports]
    try:
        parts = cfgrib.open_datasets(
            str(path), backend_kwargs={"indexpath": ""}, chunks=chunks, cache=False, decode_timedelta=False
        )
    except Exception as error:  # of ecCodes
        raise InputError(f"{path}: cannot be read ({error}), expected GRIB") from None
    heights = [name for part in parts for name in part.coords if part[name].ndim == 0 and "height" in str(name).lower()]
    parts = [part.drop_vars(heights, errors="ignore") for part in parts]
    merge: Any = xarray.merge
    try:
        return merge(parts, compat="override", join="exact", combine_attrs="override")
    except ValueError as error:
        raise InputError(f"{path}: messages of different times or grids ({error}), expected one") from None


def _several(paths: Sequence[Path], truth: bool) -> "xarray.Dataset":
    """Files as one data set."""
    import xarray

    with needed_for("several files", "weather"):
        import dask  # noqa: F401
    parts = [_with_axes(canonical(_file(path, {}), path, truth)) for path in paths]
    combine: Any = xarray.combine_by_coords
    try:
        return combine(
            parts, data_vars="minimal", coords="minimal", compat="override", join="exact", combine_attrs="override"
        )
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{paths[0]} and {len(paths) - 1} more: they do not make one data set ({reason}), expected files that "
            "differ in time, step, number or variables, on one grid"
        ) from None


def _with_axes(data: "xarray.Dataset") -> "xarray.Dataset":
    """With an axis of one where a file is of one time, step or member, and says which."""
    for name in ("number", "step", "time"):
        if name in data.coords and data[name].ndim == 0:
            data = data.expand_dims(name)
    return data
