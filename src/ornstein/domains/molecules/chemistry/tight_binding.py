"""Energies of molecules by GFN2-xTB, as a factor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ....beliefs import Belief
from ....deferred import deferred
from ....errors import InputError
from ....guidance.calculators import tight_binding
from ....guidance.factors import Factor, Updated
from ....spaces import Space
from ....states import State, Time

if TYPE_CHECKING:
    import ase
    from ase import units
else:
    ase, units = deferred("ase"), deferred("ase.units")

REFERENCES = {1: -0.5229, 6: -2.1143, 7: -2.9183, 8: -4.0671, 9: -4.7763}
"""Of the elements, Ha: least squares over 250 molecules of QM9, which leaves 1 eV."""


@dataclass(frozen=True)
class TightBinding(Factor):
    """g = exp(−E/kT), E the energy of GFN2-xTB above that of its atoms: relaxed geometries without strain.

    E is that of the likeliest elements at the mean positions; elements feel nothing of it.

    Attributes:
        elements: the numbers of protons of the model's categories.
        temperature: K.
        steepest: the gradient's norm an atom is cut at, 1/Å.
    """

    elements: tuple[int, ...]
    temperature: float = 1000.0
    steepest: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise InputError(f"temperature is {self.temperature}, expected a positive number of K")

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._energy(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, slope = self._energy(belief)
        return value, belief.tilt({"positions": slope})

    def tempered(self, power: float) -> "TightBinding":
        return replace(self, temperature=self.temperature / max(power, 1e-6))

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "TightBinding", "method": "GFN2-xTB", "temperature": self.temperature}

    def _energy(self, belief: Belief) -> tuple[Tensor, Tensor]:
        """−E/kT and its slope."""
        positions, probs = belief.mean["positions"], belief.mean["atoms"]
        numbers = torch.tensor(self.elements, device=probs.device)[probs[..., : len(self.elements)].argmax(-1)]
        numbers = torch.where(probs.sum(-1) > 0.5, numbers, 0)
        found = [
            self._one(z.numpy(), x.numpy())
            for z, x in zip(numbers.cpu(), positions.detach().double().cpu(), strict=True)
        ]
        value = torch.tensor([one for one, _ in found], dtype=torch.float64, device=probs.device)
        slope = torch.from_numpy(np.stack([slope for _, slope in found])).to(positions)
        norm = slope.norm(dim=-1, keepdim=True)
        return value, slope * (self.steepest / norm.clamp(min=self.steepest))

    def _one(self, numbers: Int[np.ndarray, " n"], positions: Float[np.ndarray, "n 3"]) -> tuple[float, np.ndarray]:
        """Of one molecule; nothing, where the calculation fails."""
        here, slope = numbers > 0, np.zeros_like(positions)
        atoms = tight_binding(ase.Atoms(numbers[here], positions[here]))
        alone = units.Hartree * sum(REFERENCES[int(z)] for z in numbers[here])
        try:
            energy = float(atoms.get_potential_energy()) - alone
            slope[here] = atoms.get_forces() / (units.kB * self.temperature)
        except Exception:  # a geometry without a solution
            return -1e3, slope
        return -energy / (units.kB * self.temperature), slope
