"""The XML header of ISMRMRD, which fastMRI's files have too: matrix, field of view and limits of the encoding.

Only these numbers are taken; the header can also name a patient, a study and a hospital, none of which is looked at. A
document type, by which an XML text can unpack to any size or name other files, is refused.
"""

from dataclasses import dataclass
from math import isfinite
from xml.etree import ElementTree

from ....errors import InputError

NAMESPACE = "http://www.ismrm.org/ISMRMRD"
_LONGEST = 65_535  # the counters of ISMRMRD have 16 bits


@dataclass(frozen=True)
class Space:
    """A grid: matrix and field of view (mm), along readout, phase encoding and slice or second phase encoding."""

    matrix: tuple[int, int, int]
    field: tuple[float, float, float]

    @property
    def voxel(self) -> tuple[float, float, float]:
        """Size of a voxel, mm."""
        x, y, z = (field / n for field, n in zip(self.field, self.matrix, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Limits:
    """Which steps of an encoding were made.

    Attributes:
        low, high: the first and the last.
        centre: the one of k = 0.
    """

    low: int
    high: int
    centre: int


@dataclass(frozen=True)
class Encoding:
    """How k-space was measured.

    Attributes:
        encoded: the grid of k-space.
        recon: the grid of the image that the scanner makes.
        lines, partitions: steps of the phase encoding and of the second one, if the header says them.
        trajectory: "cartesian", or another.
        calibration: how calibration lines were measured, such as "embedded" and "separate"; "" if not said.
    """

    encoded: Space
    recon: Space
    lines: Limits | None
    partitions: Limits | None
    trajectory: str
    calibration: str

    def size(self, h: int, w: int) -> tuple[int, int]:
        """Of the image (H, W) with the recon field of view, in voxels as they were encoded.

        Args:
            h, w: of k-space, which the image cannot exceed.
        """
        voxel = self.encoded.voxel
        return min(h, max(1, round(self.recon.field[1] / voxel[1]))), min(
            w, max(1, round(self.recon.field[0] / voxel[0]))
        )


def encodings(xml: str | bytes, where: str) -> list[Encoding]:
    """The encodings that a header describes; InputError if it is no such header.

    Args:
        xml: the header.
        where: it stands, for the error.
    """
    text = xml.decode("utf-8", "replace") if isinstance(xml, bytes) else xml
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{where} declares a document type, expected plain XML")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{where} is not valid XML ({error}), expected a header of ISMRMRD") from None
    for one in root.iter():
        one.tag = str(one.tag).rpartition("}")[2]
    found = [_encoding(one, f"{where}: encoding {k}") for k, one in enumerate(root.findall("encoding"))]
    if not found:
        raise InputError(f"{where} describes no encoding, expected a header of ISMRMRD")
    return found


def _encoding(one: ElementTree.Element, where: str) -> Encoding:
    return Encoding(
        _space(one, "encodedSpace", where),
        _space(one, "reconSpace", where),
        _limits(one, "kspace_encoding_step_1", where),
        _limits(one, "kspace_encoding_step_2", where),
        (one.findtext("trajectory") or "cartesian").strip().lower(),
        (one.findtext("parallelImaging/calibrationMode") or "").strip().lower(),
    )


def _space(one: ElementTree.Element, name: str, where: str) -> Space:
    matrix = [_number(one, f"{name}/matrixSize/{axis}", where) for axis in "xyz"]
    field = [_number(one, f"{name}/fieldOfView_mm/{axis}", where) for axis in "xyz"]
    for values, what in ((matrix, "matrixSize"), (field, "fieldOfView_mm")):
        if not all(0 < value <= _LONGEST for value in values):
            raise InputError(f"{where}, {name}/{what} is {values}, expected numbers above 0 and up to {_LONGEST}")
    x, y, z = (int(n) for n in matrix)
    return Space((x, y, z), (field[0], field[1], field[2]))


def _limits(one: ElementTree.Element, name: str, where: str) -> Limits | None:
    path = f"encodingLimits/{name}"
    if one.find(path) is None:
        return None
    low, high, centre = (int(_number(one, f"{path}/{part}", where)) for part in ("minimum", "maximum", "center"))
    if not 0 <= low <= centre <= high <= _LONGEST:
        raise InputError(f"{where}, {path} is minimum {low}, center {centre}, maximum {high}, expected that order")
    return Limits(low, high, centre)


def _number(one: ElementTree.Element, path: str, where: str) -> float:
    text = one.findtext(path)
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InputError(f"{where}, {path} is {text!r}, expected a number")
    return value


def written(encoding: Encoding) -> str:
    """A header that says no more than an encoding, for files that this package writes."""

    def space(name: str, one: Space) -> str:
        matrix, field = (
            "".join(f"<{axis}>{value}</{axis}>" for axis, value in zip("xyz", values, strict=True))
            for values in (one.matrix, one.field)
        )
        return f"<{name}><matrixSize>{matrix}</matrixSize><fieldOfView_mm>{field}</fieldOfView_mm></{name}>"

    def limits(name: str, one: Limits | None) -> str:
        if one is None:
            return ""
        said = f"<minimum>{one.low}</minimum><maximum>{one.high}</maximum><center>{one.centre}</center>"
        return f"<{name}>{said}</{name}>"

    steps = limits("kspace_encoding_step_1", encoding.lines) + limits("kspace_encoding_step_2", encoding.partitions)
    mode = f"<calibrationMode>{encoding.calibration}</calibrationMode>" if encoding.calibration else ""
    factor = "<accelerationFactor><kspace_encoding_step_1>1</kspace_encoding_step_1>"
    factor += "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
    parallel = f"<parallelImaging>{factor}{mode}</parallelImaging>" if mode else ""
    return (
        f'<?xml version="1.0"?><ismrmrdHeader xmlns="{NAMESPACE}"><experimentalConditions>'
        "<H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz></experimentalConditions><encoding>"
        f"{space('encodedSpace', encoding.encoded)}{space('reconSpace', encoding.recon)}"
        f"<encodingLimits>{steps}</encodingLimits><trajectory>{encoding.trajectory}</trajectory>{parallel}"
        "</encoding></ismrmrdHeader>"
    )
