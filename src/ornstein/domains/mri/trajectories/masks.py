"""Which places of Cartesian k-space are measured: lines, Poisson discs, spokes, and parts of it.

    uniform       each line beside the centre with probability (n/R − c)/(n − c)        fastMRI's "random"
    equispaced    lines R (c − n)/(c R − n) apart from a random first one, and the centre        fastMRI's "equispaced"
    poisson       points no closer to one another than a distance that grows away from the centre (Lustig et al. 2007)
    radial        spokes a golden angle apart (Winkelmann et al. 2007), on the nearest points of the grid

n is the number of lines, c that of the centre's, which are all measured, and R the acceleration. Those of lines are the
masks of fastMRI's public code (Zbontar et al. 2018), number by number where the seed is the name of a file. A mask is
(h, w), centred, true where it is measured, and a function of the seed and the slice.
"""

from collections.abc import Callable
from math import ceil, floor

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from ....errors import InputError
from ....keys import Keys
from ....values import is_number

Mask = Bool[Tensor, "h w"]


def uniform(
    shape: tuple[int, int],
    acceleration: float,
    centre: float = 0.08,
    seed: int | str = 0,
    slice: int = 0,
    axis: int = 0,
) -> Mask:
    """Lines at random, and all of the centre's.

    Args:
        shape: of k-space.
        acceleration: R, the inverse of the share of lines that is measured, on average.
        centre: the share of lines in the middle that is measured whole (fastMRI: 0.08 for R = 4, 0.04 for R = 8).
        seed: a number, or the name of a file, for which it is fastMRI's mask of that volume.
        slice: number; each has a mask of its own, but with a name for a seed.
        axis: along which the lines are counted (0, phase encoding down the rows).
    """
    n, low = _lines(shape, acceleration, centre, axis)
    numbers = _fastmri(seed).uniform(size=n) if isinstance(seed, str) else _keys(seed, slice).uniform(n)[0].numpy()
    return _of_lines((numbers < (n / acceleration - low) / max(n - low, 1)) | _middle(n, low), shape, axis)


def equispaced(
    shape: tuple[int, int],
    acceleration: float,
    centre: float = 0.08,
    seed: int | str = 0,
    slice: int = 0,
    axis: int = 0,
    offset: int | None = None,
) -> Mask:
    """Lines at equal distances, larger than R to make up for the centre, and all of the centre's.

    Args:
        shape, acceleration, centre, seed, slice, axis: see `uniform`.
        offset: the first line; random if not given.
    """
    n, low = _lines(shape, acceleration, centre, axis)
    apart = acceleration * (low - n) / (low * acceleration - n) if low * acceleration < n else float(n)
    if offset is None:
        high = max(round(apart), 1)
        offset = int(_fastmri(seed).randint(0, high) if isinstance(seed, str) else _integer(seed, slice, high))
    if not 0 <= offset < n:
        raise InputError(f"offset of a mask is {offset}, expected that of one of {n} lines")
    chosen = _middle(n, low)
    chosen[np.around(np.arange(offset, n - 1, apart)).astype(int)] = True
    return _of_lines(chosen, shape, axis)


def poisson(
    shape: tuple[int, int],
    acceleration: float,
    centre: float = 0.08,
    seed: int | str = 0,
    slice: int = 0,
    corners: bool = False,
    tolerance: float = 0.01,
) -> Mask:
    """Points at random, but not close to one another, sparser away from the centre, and all of a square there.

    Args:
        shape, acceleration, seed, slice: see `uniform`.
        centre: the share of either axis that the square in the middle takes.
        corners: points lie outside of the ellipse that fits into k-space, too.
        tolerance: by which the acceleration may be off, relative; less where no distance comes as close.
    """
    for axis in (0, 1):
        _lines(shape, acceleration, centre, axis)
    order = np.argsort(_keys(seed, slice).uniform(shape[0] * shape[1])[0].numpy())
    away = _away(shape)
    allowed = np.ones(shape, bool) if corners else away <= 1
    square = np.logical_and.outer(*(_middle(n, max(round(n * centre), 1)) for n in shape))
    low, high, best = 0.0, float(max(shape)), allowed | square
    goal = shape[0] * shape[1] / acceleration
    for _ in range(16):
        growth = (low + high) / 2
        found = _thrown(order, growth * (_INNER + away), allowed) | square
        best = min(best, found, key=lambda mask: abs(mask.sum() - goal))
        if abs(found.sum() - goal) <= tolerance * goal:
            break
        low, high = (growth, high) if found.sum() > goal else (low, growth)
    return torch.from_numpy(best)


def radial(
    shape: tuple[int, int], acceleration: float, centre: float = 0.0, seed: int | str = 0, slice: int = 0
) -> Mask:
    """Spokes through the middle a golden angle apart, on the grid, and all of a disc in the middle.

    Args:
        shape, acceleration, seed, slice: see `uniform`.
        centre: the share of either axis that the disc takes; spokes alone fill one, of a diameter of 2/π of their
            number.
    """
    for axis in (0, 1):
        _lines(shape, acceleration, centre, axis)
    mask, goal = _away(shape) <= centre, shape[0] * shape[1] / acceleration
    h, w = shape
    mask[h // 2, w // 2] = True
    steps = np.arange(-max(shape), max(shape) + 1) / (2 * max(shape))  # half a pixel of the longer axis
    angle, before = np.pi * float(_keys(seed, slice).uniform(1)), mask
    while mask.sum() < goal:
        before, mask = mask, mask.copy()
        rows, columns = (np.rint(f(angle) * steps * n).astype(int) + n // 2 for f, n in ((np.sin, h), (np.cos, w)))
        inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
        mask[rows[inside], columns[inside]] = True
        angle += np.pi * (np.sqrt(5) - 1) / 2
    nearer = min(before, mask, key=lambda found: abs(found.sum() - goal))
    return torch.from_numpy(nearer)


def partial(shape: tuple[int, int], share: float = 0.75, axis: int = 0) -> Mask:
    """The part of k-space beyond which nothing is measured: combine it with another mask by `&`.

    Partial Fourier along the phase encoding (axis 0) and an asymmetric echo along the readout (axis 1) are nothing but
    that: the prior knows that images are almost real, and no homodyne step is needed.

    Args:
        shape: of k-space.
        share: of its lines, more than a half: 5/8, 6/8, 7/8.
        axis: along which the first lines are missing.
    """
    if not is_number(share) or not 0.5 < share <= 1:
        raise InputError(f"partial Fourier of {share!r}, expected a share of k-space over 0.5, such as 0.75")
    n = shape[axis]
    return _of_lines(np.arange(n) >= n - ceil(share * n), shape, axis)


def full(shape: tuple[int, int]) -> Mask:
    """All of k-space.

    Args:
        shape: of k-space.
    """
    return torch.ones(shape, dtype=torch.bool)


KINDS: dict[str, Callable[..., Mask]] = {
    "random": uniform,
    "equispaced": equispaced,
    "poisson": poisson,
    "radial": radial,
}
"""By the names that users have for them."""


def drawn(
    kind: str,
    shape: tuple[int, int],
    acceleration: float,
    centre: float | None = None,
    seed: int | str = 0,
    slice: int = 0,
    share: float = 1.0,
) -> Mask:
    """The mask of a kind.

    Args:
        kind: random, equispaced, poisson or radial.
        shape: of k-space.
        acceleration: R.
        centre: the share of the middle; if not given 0.08, from an acceleration of 8 on 0.04 (fastMRI), radial 0.
        seed, slice: that it is a function of.
        share: of k-space beyond which nothing is measured, along axis 0: see `partial`.
    """
    if kind not in KINDS:
        raise InputError(f"a mask of the kind {kind!r}, expected one of {', '.join(KINDS)}")
    usual = 0.0 if kind == "radial" else 0.08 if is_number(acceleration) and acceleration < 8 else 0.04
    mask = KINDS[kind](shape, acceleration, usual if centre is None else centre, seed, slice)
    return mask if share == 1 else mask & partial(shape, share)


# What masks are ---------------------------------------------------------------------------------------


def acceleration_of(mask: Bool[Tensor, "*batch h w"]) -> float:
    """R as it came out: places over measured places.

    Args:
        mask: one or several.
    """
    return mask.numel() / max(int(mask.sum()), 1)


def whole_lines(mask: Bool[Tensor, "*batch h w"]) -> int | None:
    """The axis along which lines are counted, where every mask is of whole lines of one direction: 0, 1, or None.

    Args:
        mask: one or several.
    """
    constant = [bool((mask.any(across) == mask.all(across)).all()) for across in (-1, -2)]
    return constant.index(True) if any(constant) else None


def middle_of(mask: Mask) -> tuple[slice, slice]:
    """The rows and columns of the largest rectangle about the middle that is measured whole; empty if there is none.

    Args:
        mask: of one slice.
    """
    h, w = mask.shape
    top, left = h // 2, w // 2
    if not bool(mask[top, left]):
        return slice(top, top), slice(left, left)
    box, growing = [top, top + 1, left, left + 1], True
    while growing:
        growing = False
        for side, step, limit in ((0, -1, 0), (1, 1, h), (2, -1, 0), (3, 1, w)):
            tried = box.copy()
            tried[side] += step
            if box[side] != limit and bool(mask[tried[0] : tried[1], tried[2] : tried[3]].all()):
                box, growing = tried, True
    return slice(box[0], box[1]), slice(box[2], box[3])


def described(mask: Bool[Tensor, "*batch h w"], acceleration: float | None = None) -> str:
    """A mask in words: how much is measured, and how much was asked for.

    Args:
        mask: one or several.
        acceleration: that was asked for.
    """
    first, axis = mask.reshape(-1, *mask.shape[-2:])[0], whole_lines(mask)
    rows, columns = middle_of(first)
    asked = "" if acceleration is None else f", {acceleration:g}-fold asked for"
    if axis is None:
        what = f"{int(first.sum())} of {first.numel()} points"
        middle = f"{rows.stop - rows.start} × {columns.stop - columns.start} points in the middle"
    else:
        lines, side = first.any(1 - axis), (rows, columns)[axis]
        what, middle = f"{int(lines.sum())} of {len(lines)} lines", f"{side.stop - side.start} in the middle"
    return f"{what}, {acceleration_of(mask):.2f}-fold{asked}, {middle} without a gap"


_INNER = 0.25
"""Of the distance between points of a Poisson disc: that in the middle, as a share of what it grows by to the rim."""

# Their parts ------------------------------------------------------------------------------------------


def _lines(shape: tuple[int, int], acceleration: float, centre: float, axis: int) -> tuple[int, int]:
    """How many lines there are, and how many are of the centre; InputError where that cannot be."""
    if not is_number(acceleration) or acceleration < 1:
        raise InputError(f"acceleration of a mask is {acceleration!r}, expected a number of at least 1")
    if not is_number(centre) or not 0 <= centre <= 1:
        raise InputError(f"centre of a mask is {centre!r}, expected a share of the lines, 0 to 1")
    n = shape[axis]
    low = round(n * centre)
    if low * acceleration > n:
        raise InputError(
            f"a mask of {n} lines with an acceleration of {acceleration:g} and a centre of {low} lines: the centre "
            f"alone is more than {n / acceleration:.3g} lines; expected a smaller centre"
        )
    return n, low


def _keys(seed: int | str, slice: int) -> Keys:
    number = seed if isinstance(seed, int) else int.from_bytes(seed.encode()[:7], "big")
    return Keys.of(number, [slice]).fold("mask")


def _integer(seed: int, slice: int, high: int) -> int:
    return min(floor(float(_keys(seed, slice).uniform(1)) * high), high - 1)


def _fastmri(name: str) -> np.random.RandomState:
    """The numbers that fastMRI's code draws for the volume of a file."""
    return np.random.RandomState(tuple(map(ord, name)))  # type: ignore[arg-type]


def _middle(n: int, low: int) -> np.ndarray:
    """True for `low` lines about the middle, where fastMRI has them."""
    chosen, before = np.zeros(n, bool), (n - low + 1) // 2
    chosen[before : before + low] = True
    return chosen


def _of_lines(chosen: np.ndarray, shape: tuple[int, int], axis: int) -> Mask:
    lines = torch.from_numpy(np.asarray(chosen, bool))
    return (lines[:, None] if axis == 0 else lines).expand(shape).clone()


def _away(shape: tuple[int, int]) -> np.ndarray:
    """The distance from the middle, 1 where the ellipse that fits into k-space ends."""
    sides = [(np.arange(n) - n // 2) / (n / 2) for n in shape]
    return np.hypot(sides[0][:, None], sides[1])


def _thrown(order: np.ndarray, radius: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Points in this order, but for those within the radius of one that came before."""
    h, w = allowed.shape
    free, taken = allowed.copy(), np.zeros_like(allowed)
    discs = {}
    for place in order:
        i, j = divmod(int(place), w)
        if not free[i, j]:
            continue
        taken[i, j] = True
        r = max(radius[i, j], 0.5)
        if r < 1:
            continue
        whole = int(r * 8) / 8  # few different discs, made once
        reach = int(whole)
        if whole not in discs:
            side = np.arange(-reach, reach + 1)
            discs[whole] = side[:, None] ** 2 + side**2 > whole**2
        top, left = max(i - reach, 0), max(j - reach, 0)
        bottom, right = min(i + reach + 1, h), min(j + reach + 1, w)
        disc = discs[whole][top - i + reach : bottom - i + reach, left - j + reach : right - j + reach]
        free[top:bottom, left:right] &= disc
    return taken
