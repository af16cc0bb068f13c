"""What an energy must be: one number a sample, the same each time, whatever else is in the batch, and differentiable.

All of it is asked of a few points at the system's width; of five hundred where these say nothing.
"""

from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...guidance.functions import place_of
from ...keys import Keys

FEW, MANY = 5, 500
TOLERANCE = 1e-4
"""The share by which two evaluations of one energy may differ: iterated calculations end at a tolerance."""


def require_sense(system: Any) -> None:
    """InputError unless its fields are of the kinds that they must be."""
    shape: Any = system.shape
    name, width = system.name, system.width
    if not callable(system.energy):
        raise InputError(f"{name}: energy is a {type(system.energy).__name__}, expected a function")
    sides: list[Any] = list(shape) if isinstance(shape, tuple | list) else []
    if not sides or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        raise InputError(f"{name}: shape is {shape!r}, expected that of one sample, such as (2,) or (13, 3)")
    if isinstance(width, bool) or not isinstance(width, int | float) or not (width > 0 and isfinite(width)):
        raise InputError(f"{name}: width is {width!r}, expected a positive number in the units of x")
    if system.centered and len(sides) != 2:
        raise InputError(f"{name}: shape is {shape}, expected (points, dimension), since it is centered")
    if system.kinds and len(system.kinds) != sides[0]:
        raise InputError(f"{name}: kinds are {len(system.kinds)}, expected one for each of {sides[0]} particles")


def check(system: Any, where: str | None = None) -> None:
    """InputError unless the energy of a few points at `width` is as said above.

    Args:
        system: the System.
        where: what the message names; the system's name if not given.
    """
    where = where or str(system.name)
    require_sense(system)
    points = _points(system, FEW)
    for dtype in (torch.float32, torch.float64):
        _check_energy(system, points.to(dtype).requires_grad_(), where)
    _check_repeats(system, points.double(), where)
    _check_tells(system, points.double(), where)


def _points(system: Any, n: int) -> Tensor:
    return system.space().project(system.width * Keys.of(0, n).normal(prod(system.shape)).reshape(n, *system.shape))


def _energy(system: Any, x: Tensor, where: str) -> Any:
    try:
        return system.energy(x)
    except (Exception, SystemExit) as error:
        kind = "asked the program to exit" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
        raise InputError(f"{where}: the energy of {tuple(x.shape)} {kind}: {error}{place_of(error)}") from error


def _check_energy(system: Any, x: Tensor, where: str) -> None:
    energy = _energy(system, x, where)
    if not isinstance(energy, Tensor) or energy.shape != x.shape[:1]:
        found = tuple(energy.shape) if isinstance(energy, Tensor) else type(energy).__name__
        raise InputError(f"{where}: the energy of {tuple(x.shape)} must be of shape ({len(x)},), found {found}")
    if energy.dtype != x.dtype:
        raise InputError(f"{where}: the energy of {x.dtype} numbers must be {x.dtype}, found {energy.dtype}")
    _check_slope(energy, x, where)
    if energy.isnan().all():
        raise InputError(f"{where}: the energy is NaN at each of {len(x)} points drawn at width {system.width:g}")
    if energy.isneginf().any():
        raise InputError(f"{where}: the energy is -inf at a point drawn at width {system.width:g}: no density")


def _check_slope(energy: Tensor, x: Tensor, where: str) -> None:
    try:
        (slope,) = torch.autograd.grad(energy.sum(), x, allow_unused=True)
    except RuntimeError as error:
        raise InputError(f"{where}: the energy is not differentiable by torch: {error}") from None
    if slope is None:
        raise InputError(f"{where}: the energy is not differentiable by torch: it does not depend on x")
    finite = energy.isfinite()
    if slope[finite].isnan().flatten(1).any(1).all() and finite.any():
        raise InputError(f"{where}: the gradient of the energy is NaN wherever the energy is finite")


def _check_repeats(system: Any, x: Tensor, where: str) -> None:
    """The same points have the same energies: again, in another order, and alone."""
    with torch.no_grad():
        given = x.clone()
        energy = _energy(system, given, where)
        if not torch.equal(given, x):
            raise InputError(f"{where}: the energy changes its argument in place; work on a copy (x.clone())")
        if not _same(energy, _energy(system, x.clone(), where)):
            raise InputError(f"{where}: the energy of the same points differs from call to call: it is random")
        alone = torch.cat([_energy(system, one[None].clone(), where) for one in x])
        turned = _energy(system, x.flip(0), where).flip(0)
    if not _same(energy, alone) or not _same(energy, turned):
        raise InputError(
            f"{where}: the energy of a point depends on the others of its batch (a mean over the first axis?); "
            "expected one of each point by itself"
        )


def _same(a: Tensor, b: Tensor) -> bool:
    scale = a[a.isfinite()].abs()
    return torch.allclose(a, b, TOLERANCE, TOLERANCE * float(scale.median()) if len(scale) else 0.0, equal_nan=True)


def _check_tells(system: Any, x: Tensor, where: str) -> None:
    """The energy is finite somewhere, and not the same everywhere."""
    with torch.no_grad():
        energy = _energy(system, x, where)
        if not (energy.isposinf().all() or (energy == energy[0]).all()):
            return
        energy = _energy(system, _points(system, MANY).double(), where)
    at = f"at each of {MANY} points drawn at width {system.width:g}"
    if not energy.isfinite().any():
        raise InputError(f"{where}: the energy is infinite or not a number {at}")
    if (energy == energy[0]).all():
        raise InputError(f"{where}: the energy is {energy[0].item():g} {at}: exp(−E) has no integral")
