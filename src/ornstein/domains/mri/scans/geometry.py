"""Where voxels lie: affines from index to mm in the scanner, RAS (right, anterior, superior), as NIfTI has them.

An affine A takes the index of a voxel of an array (i, j, k, 1) to the position of its middle. DICOM and ISMRMRD use LPS
(left, posterior, superior), which is RAS with the first two coordinates negated.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Inexact

LPS = np.diag([-1.0, -1.0, 1.0])
"""From LPS to RAS, and back."""


def sizes(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " 3"]:
    """The size of a voxel along each axis of the array, in mm.

    Args:
        affine: from index to mm.
    """
    return np.linalg.norm(affine[:3, :3], axis=0)


def centred(
    directions: Float[np.ndarray, "3 3"],
    voxel: Float[np.ndarray, " 3"],
    shape: tuple[int, int, int],
    centre: Float[np.ndarray, " 3"] | None = None,
) -> Float[np.ndarray, "4 4"]:
    """The affine of an array whose voxel shape // 2, the one of zero frequency's phase origin, lies at a position.

    Args:
        directions: unit vectors along the axes of the array, as columns, RAS.
        voxel: size of a voxel along each axis, mm.
        shape: of the array.
        centre: position of that voxel, RAS, mm; None: the origin.
    """
    affine = np.eye(4)
    affine[:3, :3] = directions * voxel
    middle = np.array([n // 2 for n in shape])
    affine[:3, 3] = (0 if centre is None else centre) - affine[:3, :3] @ middle
    return affine


def part(affine: Float[np.ndarray, "4 4"], axis: int, chosen: range) -> Float[np.ndarray, "4 4"]:
    """The affine of the part of an array that has only some indices of an axis.

    Args:
        affine: of the whole array.
        axis: of the array.
        chosen: indices along it, evenly spaced.
    """
    found = np.array(affine, dtype=np.float64)
    found[:3, 3] += found[:3, axis] * chosen.start
    found[:3, axis] *= chosen.step
    return found


def upright(
    image: Inexact[np.ndarray, "h w"], rows: Float[np.ndarray, " 3"], columns: Float[np.ndarray, " 3"]
) -> Inexact[np.ndarray, "p q"]:
    """An image turned and mirrored, without interpolation, to the way radiologists look at it.

    Axial: the patient's right on the left, anterior at the top. Coronal: right on the left, superior at the top.
    Sagittal: anterior on the left, superior at the top.

    Args:
        image: any way round.
        rows: direction from one row to the next, RAS.
        columns: direction from one column to the next, RAS.
    """
    down, along = (_nearest(direction, ()) for direction in (rows, columns))
    if down[0] == along[0]:  # oblique by 45 degrees
        along = _nearest(columns, (down[0],))
    if down[0] < along[0]:  # what goes right belongs along a row, what goes up along a column
        image, down, along = image.T, along, down
    image = image[::-1] if down[1] > 0 else image
    return np.ascontiguousarray(image[:, ::-1] if along[1] > 0 else image)


def _nearest(direction: Float[np.ndarray, " 3"], without: tuple[int, ...]) -> tuple[int, float]:
    """The axis of the patient that a direction comes closest to, and whether it goes along or against it."""
    sizes = np.abs(direction)
    sizes[list(without)] = -1
    axis = int(sizes.argmax())
    return axis, float(np.sign(direction[axis]))


def cropped(image: Inexact[np.ndarray, "*b h w"], size: tuple[int, int]) -> Inexact[np.ndarray, "*b p q"]:
    """The middle of images; index n // 2 of an axis, the origin of the centred transform, stays in the middle.

    Args:
        image: at least as large.
        size: to crop to.
    """
    return image[(..., *middle(image.shape[-2:], size))]


def middle(shape: Sequence[int], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the middle of an image; see `cropped`.

    Args:
        shape: (h, w) of the image.
        size: to crop to.
    """
    rows, columns = (slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, size, strict=True))
    return rows, columns


def padded(image: Inexact[np.ndarray, "*b h w"], size: tuple[int, int]) -> Inexact[np.ndarray, "*b p q"]:
    """Images with zeros around them, of which `cropped` gives them back.

    Args:
        image: at most as large.
        size: to pad to.
    """
    before = [n // 2 - m // 2 for n, m in zip(size, image.shape[-2:], strict=True)]
    sides = [(b, n - m - b) for b, n, m in zip(before, size, image.shape[-2:], strict=True)]
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + sides)
