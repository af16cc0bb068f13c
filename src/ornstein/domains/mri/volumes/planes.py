"""Pictures of planes through a volume: turned, scaled, shifted and deformed.

The point of pixel (i, j) is p = c + R (i a e₁ + j b e₂) + u(i, j), u smooth: two sums of splines on coarse grids.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import interpolate

from ....deferred import deferred
from .base import Volume

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = deferred("scipy.ndimage")

PLANES = ("axial", "coronal", "sagittal")
_ROWS_COLUMNS = {"axial": (1, 0), "coronal": (2, 0), "sagittal": (2, 1)}
"""Axes of the volume along the rows and columns of a picture."""


@dataclass(frozen=True)
class Variation:
    """How much planes differ from those of the volume.

    Attributes:
        shares: how often a plane is axial, coronal and sagittal.
        tilt: standard deviation of rotations about any axis, degrees.
        turn: of rotations within the plane, degrees.
        scale: of the logarithm of a pixel's size, and half of that of its aspect.
        shift: of the middle within the plane, pixels.
        bend: of the deformation on the coarser grid, mm; half of it on the finer.
    """

    shares: tuple[float, float, float] = (0.7, 0.15, 0.15)
    tilt: float = 6.0
    turn: float = 8.0
    scale: float = 0.1
    shift: float = 8.0
    bend: float = 3.0


def smooth(rng: np.random.Generator, shape: tuple[int, int], knots: int, fields: int = 1) -> Float[np.ndarray, "f h w"]:
    """Smooth random fields of standard deviation about 1.

    Args:
        rng: of random numbers.
        shape: of a field.
        knots: of its splines, an axis.
        fields: how many.
    """
    coarse = torch.from_numpy(rng.normal(size=(1, fields, knots, knots)).astype(np.float32))
    return interpolate(coarse, size=shape, mode="bicubic", align_corners=True)[0].numpy()


def drawn(
    volume: Volume, shape: tuple[int, int], pixel: float, rng: np.random.Generator, vary: Variation
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"] | None]:
    """A picture of a random plane, and where it shows the brain, if that is known.

    Args:
        volume: the head.
        shape: of the picture.
        pixel: its size, mm, about which it varies.
        rng: of random numbers.
        vary: how much.
    """
    points = _points(volume, shape, pixel, rng, vary)
    picture = ndimage.map_coordinates(volume.coefficients, points, order=3, prefilter=False, mode="constant", cval=0.0)
    brain = None
    if volume.brain is not None:
        brain = ndimage.map_coordinates(volume.brain.astype(np.float32), points, order=1, mode="constant", cval=0.0)
    turned = _turned(rng)
    return turned(np.maximum(picture, 0.0)), None if brain is None else turned(brain)


def _points(
    volume: Volume, shape: tuple[int, int], pixel: float, rng: np.random.Generator, vary: Variation
) -> Float[np.ndarray, "3 h w"]:
    """In voxels."""
    plane = PLANES[int(rng.choice(3, p=vary.shares))]
    across = ({0, 1, 2} - set(_ROWS_COLUMNS[plane])).pop()
    size = np.array(volume.coefficients.shape) * volume.voxel
    centre = size / 2
    centre[across] = size[across] * rng.uniform(0.12, 0.9)
    aspect = rng.normal(0, vary.scale / 2)
    edges = pixel * np.exp(rng.normal(0, vary.scale) + np.array([aspect, -aspect]))
    within = np.zeros((3, *shape), np.float32)
    for axis, n, edge, grid in zip(_ROWS_COLUMNS[plane], shape, edges, np.indices(shape), strict=True):
        within[axis] = (grid - (n - 1) / 2 + rng.normal(0, vary.shift)) * edge
    turn = np.where(np.arange(3) == across, np.hypot(vary.tilt, vary.turn), vary.tilt)
    rotation = _rotation(np.radians(rng.normal(0, turn))).astype(np.float32)
    points = np.einsum("ij,j...->i...", rotation, within) + centre.astype(np.float32)[:, None, None]
    for knots, amount in ((6, vary.bend), (12, vary.bend / 2)):
        points += amount * smooth(rng, shape, knots, 3)
    return points / np.array(volume.voxel, np.float32)[:, None, None] - 0.5


def _rotation(angles: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """About the three axes, one after the other, radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = one @ matrix
    return matrix


def _turned(rng: np.random.Generator) -> Callable[[Float[np.ndarray, "h w"]], Float[np.ndarray, "h w"]]:
    """One of the mirror images and turns that keep the shape, as scanners store pictures any way round."""
    quarters, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def turn(picture: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
        square = picture.shape[0] == picture.shape[1]
        found = np.rot90(picture, quarters if square else quarters // 2 * 2)
        return np.ascontiguousarray(found[:, ::-1] if mirrored else found)

    return turn
