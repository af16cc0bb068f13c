"""Balls and sticks to pixels: a z-buffer in NumPy, light from the upper left, dark outlines, a white ground.

A ball is a stick without length: for both the point of the surface that the eye sees solves one quadratic.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

_FINE = 2  # each pixel is the mean of a square of 2 × 2
_LIGHT = np.array([-0.45, 0.62, 0.64], dtype=np.float32)
_EYE = np.array([0, 0, 1], dtype=np.float32)
_HALF = (_LIGHT + _EYE) / np.linalg.norm(_LIGHT + _EYE)  # a highlight sits where the surface faces this way
_INK = np.array([38, 44, 56], dtype=np.float32)
_PAPER = 255.0


@dataclass(frozen=True)
class Solids:
    """Sticks, and balls, which have their end at their start.

    Attributes:
        start, end: x to the right, y up, z to the eye; the origin is the middle of the picture.
        radius: in the units of the places.
        colour: red, green, blue from 0 to 255.
        glass: whether one sees through it.
    """

    start: Float[np.ndarray, "n 3"]
    end: Float[np.ndarray, "n 3"]
    radius: Float[np.ndarray, " n"]
    colour: Float[np.ndarray, "n 3"]
    glass: Bool[np.ndarray, " n"]


def pixels(solids: Solids, size: int, scale: float) -> UInt8[np.ndarray, "size size 3"]:
    """A square picture, `scale` pixels a unit of length, of what is in front.

    Args:
        solids: bodies to draw, back to front.
        size: side of a picture, pixels.
    """
    fine = size * _FINE
    start, axis, length, radius = _in_pixels(solids, scale * _FINE)
    depth = np.full((fine, fine), -np.inf, dtype=np.float32)
    owner = np.full((fine, fine), -1, dtype=np.int32)
    for k in range(len(radius)):
        _put(depth, owner, k, start[k], axis[k], float(length[k]), float(radius[k]))
    row, column = np.nonzero(owner >= 0)
    mine, z = owner[row, column], depth[row, column]
    normal = _normals(_places(row, column, z, fine) - start[mine], axis[mine], radius[mine])
    picture = np.full((fine, fine, 3), _PAPER, dtype=np.float32)
    shade = _shade(depth, row, column, z, 0.42 * scale * _FINE)
    pale = np.minimum(0.055 * (z.max(initial=-np.inf) - z) / (scale * _FINE), 0.4)
    picture[row, column] = _lit(normal, solids.colour[mine].astype(np.float32), solids.glass[mine], shade, pale)
    _outline(picture, depth, 0.3 * scale * _FINE)
    return _averaged(picture)


def _in_pixels(solids: Solids, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Start, direction (zero for a ball), length and radius in fine pixels."""
    start, end, radius = ((scale * part).astype(np.float32) for part in (solids.start, solids.end, solids.radius))
    length = np.linalg.norm(end - start, axis=1)
    return start, (end - start) / np.maximum(length, 1e-6)[:, None], length, radius


def _put(
    depth: np.ndarray, owner: np.ndarray, k: int, start: np.ndarray, axis: np.ndarray, length: float, radius: float
) -> None:
    """Draws solid number k where it is in front of what is there."""
    fine, end = len(depth), start + length * axis
    left, low = np.minimum(start, end)[:2].tolist()
    right, high = np.maximum(start, end)[:2].tolist()
    rows, columns = _span(-high - radius, radius - low, fine), _span(left - radius, right + radius, fine)
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - fine / 2 - start[0])
    y = np.float32(fine / 2 - 0.5 - start[1]) - np.arange(rows.start, rows.stop, dtype=np.float32)
    z, hit = _surface(x[None, :], y[:, None], axis, length, radius)
    z += start[2]
    front = hit & (z > depth[rows, columns])
    np.copyto(depth[rows, columns], z, where=front)
    np.copyto(owner[rows, columns], k, where=front)


def _surface(
    x: np.ndarray, y: np.ndarray, axis: np.ndarray, length: float, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """The height z nearest to the eye at (x, y) of an open cylinder from the origin, and where there is one.

    With s the part of (x, y) along the axis u, all places at distance r from it satisfy
    (1 − u_z²) z² − 2 s u_z z + x² + y² − s² − r² = 0.
    """
    ux, uy, uz = (float(part) for part in axis)
    along = ux * x + uy * y
    flat = max(1 - uz * uz, 1e-6)  # a stick that points at the eye is behind its ball
    root = (along * uz) ** 2 - flat * (x * x + y * y - along**2 - radius**2)
    z = (along * uz + np.sqrt(np.maximum(root, 0))) / flat
    along += z * uz
    return z, (root >= 0) & (along >= 0) & (along <= length)


def _span(low: float, high: float, fine: int) -> slice:
    """The rows or columns of a picture that an interval about its middle touches."""
    return slice(*(min(max(math.floor(edge + fine / 2), 0), fine) for edge in (low, high + 1)))


def _places(row: np.ndarray, column: np.ndarray, z: np.ndarray, fine: int) -> np.ndarray:
    """The middles of pixels, (n, 3)."""
    return np.stack([column + np.float32(0.5 - fine / 2), np.float32(fine / 2 - 0.5) - row, z], 1).astype(np.float32)


def _normals(from_start: np.ndarray, axis: np.ndarray, radius: np.ndarray) -> np.ndarray:
    along = np.einsum("nk,nk->n", from_start, axis)
    return (from_start - along[:, None] * axis) / radius[:, None]


def _shade(depth: np.ndarray, row: np.ndarray, column: np.ndarray, z: np.ndarray, reach: float) -> np.ndarray:
    """How much of the light from around is kept from each place by what rises beside it, 0 to 1."""
    shade, last = np.zeros_like(z), len(depth) - 1
    for angle in np.arange(8) * np.pi / 4 + 0.2:
        aside, down = round(reach * np.cos(angle)), round(reach * np.sin(angle))
        rise = (depth[np.clip(row + down, 0, last), np.clip(column + aside, 0, last)] - z) / np.float32(reach)
        shade += np.clip(np.minimum(rise, 2.5 - rise), 0, 1)  # what is far in front casts no shadow
    return shade / 8


def _lit(normal: np.ndarray, colour: np.ndarray, glass: np.ndarray, shade: np.ndarray, pale: np.ndarray) -> np.ndarray:
    """Colours under the light: matt with a soft highlight, darker towards the rim, paler with distance."""
    facing = np.clip(normal[:, 2:], 0, 1)
    matt = 0.62 + 0.46 * np.maximum(normal @ _LIGHT, 0)[:, None]
    rim = 1 - 0.3 * (1 - facing) ** 2 - 0.6 * shade[:, None]
    shine = 0.5 * np.maximum(normal @ _HALF, 0)[:, None] ** 36
    lit = colour * (matt * rim) * (1 - shine) + _PAPER * shine
    seen = (1 - pale[:, None]) * np.where(glass[:, None], 0.35 + 0.55 * (1 - facing) ** 2, 1)
    return np.clip(_PAPER + (lit - _PAPER) * seen, 0, 255)


def _outline(picture: np.ndarray, depth: np.ndarray, step: float) -> None:
    """Ink where a pixel lies farther than `step` behind one beside it."""
    nearest = depth.copy()
    for ahead, behind in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:])):
        np.maximum(nearest[ahead], depth[behind], out=nearest[ahead])
        np.maximum(nearest[:, ahead], depth[:, behind], out=nearest[:, ahead])
    row, column = np.nonzero(nearest > depth + step)
    picture[row, column] += 0.6 * (_INK - picture[row, column])


def _averaged(picture: np.ndarray) -> np.ndarray:
    corners = [picture[k::_FINE, m::_FINE] for k in range(_FINE) for m in range(_FINE)]
    return (sum(corners[1:], corners[0]) / len(corners) + 0.5).astype(np.uint8)
