"""Energies that a calculator of the Atomic Simulation Environment knows: force fields, tight binding, DFT.

Positions are in Å, energies E/kT relative to the geometry given, and gradients the calculator's forces. In a vacuum a
molecule that falls apart is never wrong for good, so temperatures should be low enough for it to hold together.
"""

from dataclasses import dataclass
from importlib import import_module
from math import inf
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InputError


def calculated(atoms: Any, temperature: float) -> "Calculated":
    """The energy of an `ase.Atoms` with its calculator, at a temperature in K.

    A geometry whose calculation fails has the energy +inf, which Metropolis's rule rejects. Energies can be
    differentiated once. InputError if there is no ASE, no calculator, a periodic cell, constraints of any kind (which
    samples of all positions would break), or no energy of this geometry.

    Args:
        atoms: an `ase.Atoms` with a calculator; its positions are those of one geometry, Å.
        temperature: K; energies are divided by kT.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}, expected a positive number of kelvin")
    units = _imported("ase.units", "ase")
    if getattr(atoms, "calc", None) is None:
        raise InputError(f"{atoms}: has no calculator, expected one as its 'calc'")
    if atoms.pbc.any():
        raise InputError(f"{atoms}: is periodic, expected a molecule or a cluster in a vacuum")
    if atoms.constraints:
        kinds = ", ".join(sorted({type(one).__name__ for one in atoms.constraints}))
        raise InputError(
            f"{atoms}: is under constraints ({kinds}), which samples of all positions would not keep: take them off "
            "(atoms.set_constraint()), and add a stiff energy for what must stay in place"
        )
    work = atoms.copy()
    work.calc = atoms.calc
    return Calculated(work, units.kB * temperature, _reference(work))


def tight_binding(atoms: Any, method: str = "GFN2-xTB") -> Any:
    """The atoms with tblite's tight binding as their calculator (Bannwarth et al. 2019); InputError without tblite."""
    bound = atoms.copy()
    bound.calc = _imported("tblite.ase", "tblite").TBLite(method=method, verbosity=0)
    return bound


def _imported(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise InputError(f"this energy needs {package!r}: pip install 'ornstein[energies]'") from None


def _reference(atoms: Any) -> float:
    """The energy of the given geometry, eV."""
    try:
        return float(atoms.get_potential_energy())
    except Exception as error:
        raise InputError(f"{atoms}: its calculator raised {type(error).__name__}: {error}") from error


@dataclass(frozen=True, eq=False)
class Calculated:
    """E(x)/kT above the reference; atoms with a calculator, kT and reference in eV."""

    atoms: Any
    unit: float
    reference: float

    def __call__(self, x: Float[Tensor, "batch atoms 3"]) -> Float[Tensor, " batch"]:
        return _Evaluated.apply(x, self)  # pyright: ignore[reportReturnType]

    def evaluate(self, positions: np.ndarray, sloped: bool) -> tuple[float, np.ndarray]:
        """Energy and, if asked for, its gradient; (inf, 0) where the calculation fails."""
        failed = inf, np.zeros_like(positions)
        try:
            self.atoms.set_positions(positions)
            energy = (float(self.atoms.get_potential_energy()) - self.reference) / self.unit
            slope = -self.atoms.get_forces() / self.unit if sloped else failed[1]
        except Exception:  # whatever a calculator does when it does not converge
            return failed
        return (energy, slope) if np.isfinite(energy) and np.isfinite(slope).all() else failed


class _Evaluated(torch.autograd.Function):
    """Geometry by geometry, with the gradient kept for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, calculated: Calculated) -> Tensor:
        positions = x.detach().cpu().double().numpy()
        found = [calculated.evaluate(geometry, ctx.needs_input_grad[0]) for geometry in positions]
        ctx.save_for_backward(torch.tensor(np.array([slope for _, slope in found])).reshape(x.shape).to(x))
        return torch.tensor([energy for energy, _ in found]).to(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slope,) = ctx.saved_tensors
        return grad[:, None, None] * slope, None
