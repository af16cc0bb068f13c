"""What can be known or wanted of a molecule: properties, hydrogen bonds, energies, fixed atoms, a pocket to bind to.

The code of a molecule is its positions (batch, n, 3) in Å and, for every atom, its probabilities over the elements,
0 where there is no atom; see Probs. Everything here is a factor or a prompt, so all of it composes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ase
import numpy as np
import torch
from ase.units import Hartree, kB
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...beliefs import Belief
from ...denoisers.base import NeuralDenoiser
from ...denoisers.composition import Prompt
from ...denoisers.regressors import Regressor
from ...errors import InputError
from ...guidance.calculators import tight_binding
from ...guidance.factors import Energy, Factor, Late, NoisyLogProb, Smooth, Updated
from ...guidance.measurements import Fixed, Rigid
from ...spaces import Space
from ...states import State, Time
from ...tasks.calibration import Foreseen
from ...tasks.runs import load_regressor
from .chemistry.hydrogen_bonds import ANGLE
from .chemistry.molecule import Molecule
from .chemistry.pockets import Pocket, Vina
from .data import in_units, require_known, standardised

QM9 = (1, 6, 7, 8, 9)
"""The elements of the shipped model, in its order."""

REGRESSOR = "molecules/qm9-regressor"
"""Of the properties of QM9, at every noise level."""

_POLAR = (7, 8)
_OPPOSED = -np.cos(np.radians(ANGLE + 8))  # a little straighter than what counts as formed


def wanted(properties: Mapping[str, float], facts: Mapping[str, Any], scale: float = 1.0) -> Prompt:
    """Molecules with these properties, in the units of the data; scale: of classifier-free guidance, 1 = none.

    InputError if the model was not trained with one of them.
    """
    return Prompt({"properties": targets(properties, facts)}, scale)


@dataclass(frozen=True)
class Agreement:
    """log p(y | x_t) by a regressor of noisy molecules.

    Attributes:
        y: standardised, one for all molecules of a batch or one each; NaN = whatever it is.
    """

    regressor: Regressor
    y: Float[Tensor, "#batch properties"]

    def __call__(self, code: Any, t: Time) -> Float[Tensor, " batch"]:
        return self.regressor(code, t, {"mask": exists(code)}).log_prob(self.y)


def predicted(
    properties: Mapping[str, float], facts: Mapping[str, Any], weight: float = 1.0, by: Regressor | str = REGRESSOR
) -> NoisyLogProb:
    """Molecules of which a regressor says that they have these properties, in the units of the data.

    Unlike `wanted` it asks nothing of the model, which need not have been told properties, and it composes as a factor.

    Args:
        facts: of the model.
        weight: the power of p(y | x_t).
        by: a regressor of noisy molecules.

    InputError if it was not trained with one of them, or with other elements, sizes or noise than the model.
    """
    regressor = matching(load_regressor(by) if isinstance(by, str) else by, facts)
    assert regressor.origin is not None
    return NoisyLogProb(Agreement(regressor, targets(properties, regressor.origin.facts)[None]), weight)


def foreseen(name: str, facts: Mapping[str, Any], by: Regressor | str = REGRESSOR) -> Foreseen:
    """A property in the units of the data as a knob, seen by a regressor; see calibration. Errors as of `predicted`."""
    regressor = matching(load_regressor(by) if isinstance(by, str) else by, facts)
    assert regressor.origin is not None
    targets({name: 0.0}, regressor.origin.facts)  # refuses what is not known
    known = regressor.origin.facts
    column = list(known["properties"]).index(name)

    def value(code: Any, t: Time) -> Tensor:
        seen = regressor(code, t, {"mask": exists(code)}).mean
        return in_units(seen, known)[:, column]

    return Foreseen(value)


def counted(element: int, model: NeuralDenoiser) -> Foreseen:
    """The atoms of an element as a knob, foreseen by the model itself: those that are there, and the chances of masks.

    Its slope goes through the network, and so knows that one more atom of the element here makes others less likely.

    Args:
        element: its number of protons; InputError if the model does not know it.
    """
    assert model.origin is not None
    require_known(Molecule(np.array([element]), np.zeros((1, 3))), model.origin.facts, "counted atoms")
    column = model.origin.facts["elements"].index(element)

    def count(code: Any, t: Time) -> Tensor:
        chances = model.output(code, t, {"mask": exists(code)})["atoms"].softmax(-1)[..., column]
        return (code["atoms"][..., column] + code["atoms"][..., -1] * chances).sum(-1)

    return Foreseen(count)


def matching(regressor: Regressor, facts: Mapping[str, Any]) -> Regressor:
    """The regressor, if it knows the elements, sizes and noise of the model with these facts; else InputError."""
    assert regressor.origin is not None
    name, known = f"{regressor.origin.domain}/{regressor.origin.name}", regressor.origin.facts
    if regressor.clean:
        raise InputError(f"{name}: was trained on clean molecules, expected noisy ones to guide by")
    for fact in ("elements", "length", "std"):
        if known[fact] != facts[fact]:
            raise InputError(f"{name}: was trained with {fact} {known[fact]}, the model with {facts[fact]}")
    return regressor


def exists(code: Mapping[str, Tensor]) -> Bool[Tensor, "batch n"]:
    """The atoms that are there, by the code of a molecule."""
    return code["atoms"].sum(-1) > 0


def targets(properties: Mapping[str, float], facts: Mapping[str, Any]) -> Float[Tensor, " properties"]:
    """Properties in the units of the data, standardised; NaN where nothing is said. InputError for unknown ones."""
    values, known = torch.full((len(facts["properties"]),), torch.nan), list(facts["properties"])
    for name, value in properties.items():
        if name not in known:
            raise InputError(f"property {name!r}: this model knows {', '.join(known) or 'none'}")
        values[known.index(name)] = value
    return standardised(values[None], facts)[0]


@dataclass(frozen=True)
class HydrogenBonded(Smooth):
    """g = (floor + s)^weight, s near 1 where some D–H···A within the molecule is short and straight enough, else 0.

    s = S/(1 + S), with S the sum over donors, hydrogens and acceptors of their probabilities times a bell in each of
    the distances D–H and H···A and the angle: far and bent ones are penalised, as much as `floor` allows. Elements feel
    nothing of it, so that a wish for a bond does not make the composition another one.

    Attributes:
        weight: how much it is wanted; 0 = not at all.
        elements: the numbers of protons of the model's categories.
        floor: of molecules without a donor, so that these are not impossible.
    """

    weight: float = 1.0
    elements: tuple[int, ...] = QM9
    floor: float = 0.02

    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        formed = self.strength(code["positions"], code["atoms"].detach().to(code["positions"]))
        return self.weight * (self.floor + formed / (1 + formed)).log()

    def strength(
        self, x: Float[Tensor, "batch n 3"], probs: Float[Tensor, "batch n states"]
    ) -> Float[Tensor, " batch"]:
        """S."""
        hydrogen = probs[..., self.elements.index(1)]
        polar = sum(probs[..., self.elements.index(z)] for z in _POLAR if z in self.elements)
        assert isinstance(polar, Tensor)
        apart = x[:, :, None] - x[:, None]
        d = (apart.square().sum(-1) + 1e-6).sqrt()
        opposed = torch.einsum("bdhx,bhax->bdha", apart, apart) / (d[..., None] * d[:, None])  # 1: straight
        straight = torch.sigmoid((opposed - _OPPOSED) / 0.1)
        bound = polar[:, :, None] * hydrogen[:, None] * _bell(d - 1.0, 0.1)
        near = (
            hydrogen[:, :, None]
            * polar[:, None]
            * _bell((d - 1.9).clamp(min=0), 0.3)
            * _bell((d - 1.7).clamp(max=0), 0.1)
        )
        return torch.einsum("bdh,bha,bdha->b", bound, near, straight)

    def tempered(self, power: float) -> "HydrogenBonded":
        return replace(self, weight=self.weight * power)

    @property
    def record(self) -> Mapping[str, Any]:
        return {"factor": "HydrogenBonded", "weight": self.weight}


def _bell(off: Tensor, width: float) -> Tensor:
    return (-((off / width) ** 2) / 2).exp()


def hydrogen_bond(weight: float = 1.0, elements: Sequence[int] = QM9) -> Late:
    """Wants a hydrogen bond within the molecule, once hydrogens and what they are bound to can be told apart.

    InputError if the elements have no hydrogen, or nothing to bind it.
    """
    if 1 not in elements or not set(_POLAR) & set(elements):
        raise InputError(f"hydrogen bond: the model's elements have {list(elements)} protons, expected 1 and 7 or 8")
    return Late(HydrogenBonded(weight, tuple(elements)), 0.5)


def apart(distance: float = 1.15, weight: float = 100.0, elements: Sequence[int] = QM9) -> Energy:
    """Penalises clashes: heavy atoms closer than so many Å, by weight · (distance − d)² a pair."""
    heavy_ones = torch.tensor([float(z > 1) for z in elements])

    def clashes(code: Any) -> Tensor:
        x, probs = code["positions"], code["atoms"]
        heavy = probs[..., : len(elements)] @ heavy_ones.to(probs)
        d = ((x[:, :, None] - x[:, None]).square().sum(-1) + 1e-6).sqrt()
        each = (distance - d).clamp(min=0) ** 2 * heavy[:, :, None] * heavy[:, None]
        return each.triu(1).sum((1, 2))

    return Energy(clashes, weight)


def bound(pocket: Pocket, weight: float = 1.0, elements: Sequence[int] = QM9) -> Energy:
    """Ligands that bind: exp(−weight · E) with Vina's energy in kcal/mol; see chemistry.pockets."""
    vina = Vina(pocket, tuple(elements))

    def binding(code: Any) -> Tensor:
        return vina(code["positions"], code["atoms"][..., : len(elements)])

    return Energy(binding, weight)


# Fixed atoms ------------------------------------------------------------------------------------------


def fixed(part: Molecule, facts: Mapping[str, Any]) -> tuple[Factor, Factor]:
    """The first atoms are these, exactly, wherever the rest comes to be: scaffolds, linkers, inpainting.

    InputError if an element is not the model's, or nothing is left free.
    """
    length, elements, k = facts["length"], facts["elements"], len(part)
    require_known(part, {**facts, "length": length - 1}, "fixed atoms")
    where, atoms, positions = torch.arange(length) < k, torch.zeros(length).long(), torch.zeros(length, 3)
    atoms[:k] = torch.tensor([elements.index(int(z)) for z in part.numbers])
    positions[:k] = torch.from_numpy(part.positions - part.positions.mean(0)).float()
    return Rigid(positions, where).on("positions"), Fixed(atoms, where).on("atoms")


# Energies ---------------------------------------------------------------------------------------------

REFERENCES = {1: -0.5229, 6: -2.1143, 7: -2.9183, 8: -4.0671, 9: -4.7763}
"""Of the elements, Ha: least squares over 250 molecules of QM9, which leaves 1 eV."""


@dataclass(frozen=True)
class TightBinding(Factor):
    """g = exp(−E/kT), E the energy of GFN2-xTB above that of its atoms: relaxed geometries without strain.

    E is that of the likeliest elements at the mean positions; elements feel nothing of it.

    Attributes:
        temperature: K.
        elements: the numbers of protons of the model's categories.
        steepest: the gradient's norm an atom is cut at, 1/Å.
    """

    temperature: float = 1000.0
    elements: tuple[int, ...] = QM9
    steepest: float = 20.0

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        return self._energy(belief)[0]

    def update(self, belief: Belief, x_t: State, t: Time, space: Space) -> Updated:
        value, slope = self._energy(belief)
        return value, belief.tilt({"positions": slope})

    def tempered(self, power: float) -> "TightBinding":
        return replace(self, temperature=self.temperature / max(power, 1e-6))

    @property
    def record(self) -> Mapping[str, Any]:
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
        alone = Hartree * sum(REFERENCES[int(z)] for z in numbers[here])
        try:
            energy = float(atoms.get_potential_energy()) - alone
            slope[here] = atoms.get_forces() / (kB * self.temperature)
        except Exception:  # a geometry without a solution
            return -1e3, slope
        return -energy / (kB * self.temperature), slope


def relaxed(temperature: float = 1000.0, elements: Sequence[int] = QM9) -> Late:
    """Weighs molecules by exp(−E/kT) of tight binding, once they have bonds: a cloud of noise has no energy.

    InputError for elements whose own energies are not known here.
    """
    if foreign := sorted(set(elements) - set(REFERENCES)):
        raise InputError(f"temperature: energies are known of H, C, N, O and F, not of {foreign} protons")
    return Late(TightBinding(temperature, tuple(elements)), 0.35)
