"""What can be known or wanted of a molecule: properties, hydrogen bonds, energies, fixed atoms, a pocket to bind to.

The code of a molecule is its positions (batch, n, 3) in Å and, for every atom, its probabilities over the elements,
0 where there is no atom; see Probs. Everything here is a factor or a prompt, so all of it composes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...deferred import deferred
from ...denoisers.base import Denoiser, Guide, NeuralDenoiser
from ...denoisers.composition import ClassifierFreeGuidance, within
from ...denoisers.regressors import Regressor
from ...errors import InputError
from ...guidance.binding import ForModel, Several, metadata_of
from ...guidance.classifiers import NoisyClassifierGuidance
from ...guidance.factors import Energy
from ...guidance.interval import Interval
from ...guidance.measurements import Fixed, RigidMotif
from ...spaces import Product, Space
from ...spaces.product import Times
from ...tasks.runs import load_regressor
from ...tasks.strength import ValueFunction, ValueFunctionOf
from .chemistry.hydrogen_wishes import POLAR, HydrogenBonded
from .chemistry.molecule import Molecule
from .chemistry.pockets import RADII, Pocket, Vina
from .chemistry.tight_binding import REFERENCES, TightBinding
from .data import in_units, require_known, standardised

if TYPE_CHECKING:
    from ase import data as periodic
else:
    periodic = deferred("ase.data")

REGRESSOR = "molecules/qm9-regressor"
"""Of the properties of QM9, at every noise level."""

_SHAPED = 0.7
"""Time from which positions say who is bound to whom: 1.35 Å of noise."""


def property_condition(properties: Mapping[str, float], scale: float = 1.0) -> ForModel:
    """Molecules with these properties, in the units of the data; scale: of classifier-free guidance, 1 = none.

    InputError if the model was not trained with one of them.
    """

    def make(metadata: Mapping[str, Any], space: Space) -> ClassifierFreeGuidance:
        return ClassifierFreeGuidance({"properties": targets(properties, metadata)}, scale)

    return ForModel("wanted", make, ("properties",))


@dataclass(frozen=True)
class Agreement:
    """log p(y | x_t) by a regressor of noisy molecules.

    Attributes:
        y: standardised, one for all molecules of a batch or one each; NaN = whatever it is.
    """

    regressor: Regressor
    y: Float[Tensor, "#batch properties"]

    def __call__(self, code: Any, t: Times) -> Float[Tensor, " batch"]:
        return self.regressor(code, t, {"mask": exists(code)}).log_prob(self.y)


TRUST = 4.0
"""Standard deviations of the noise, and nats of the odds of an element, that a property may explain at most."""


def agreement(
    regressor: Regressor, y: Float[Tensor, "#batch properties"], weight: float = 1.0, trust: float = TRUST
) -> NoisyClassifierGuidance:
    """The factor p(y | x_t)^weight; y and trust: as of `Agreement` and `property_regressor`."""
    return NoisyClassifierGuidance(Agreement(regressor, y), weight, trust)


def property_regressor(
    properties: Mapping[str, float], weight: float = 1.0, by: Regressor | str = REGRESSOR, trust: float = TRUST
) -> ForModel:
    """Molecules of which a regressor says that they have these properties, in the units of the data.

    Unlike `property_condition` it asks nothing of the model, which need not have been told properties, and it composes
    as a factor.

    Args:
        weight: the power of p(y | x_t).
        by: a regressor of noisy molecules.
        trust: how far the regressor may move what the model believes, see guidance/classifiers.py; inf = as it says.

    InputError if it was not trained with one of them, or with other elements, sizes or noise than the model.
    """
    regressor, known = _regressor(by)
    factor = agreement(regressor, targets(properties, known)[None], weight, trust)

    def make(metadata: Mapping[str, Any], space: Space) -> NoisyClassifierGuidance:
        require_match(regressor, metadata)
        return factor

    return ForModel("predicted", make, _MATCHED)


def property_value(name: str, by: Regressor | str = REGRESSOR) -> ValueFunctionOf:
    """A property in the units of the data, seen by a regressor, for `guidance_strength`.

    Errors as of `property_regressor`.

    Args:
        name: of the property, such as "gap".
        by: the regressor, or its name.
    """
    regressor, known = _regressor(by)
    targets({name: 0.0}, known)  # refuses what is not known
    column = list(known["properties"]).index(name)

    def value(code: Any, t: Times) -> Tensor:
        seen = regressor(code, t, {"mask": exists(code)}).mean
        return in_units(seen, known)[:, column]

    def make(model: Denoiser) -> ValueFunction:
        require_match(regressor, metadata_of(model, "foreseen", _MATCHED))
        return ValueFunction(value)

    return ValueFunctionOf(make)


def element_count(element: int | str) -> ValueFunctionOf:
    """The atoms of an element as a knob, foreseen by the model itself: those that are there, and the chances of masks.

    Its slope goes through the network, and so knows that one more atom of the element here makes others less likely.

    Args:
        element: its symbol or number of protons; InputError if the model does not know it.
    """

    def make(model: Denoiser) -> ValueFunction:
        elements = metadata_of(model, "counted", ("elements",))["elements"]
        column = list(elements).index(_known("counted", element, elements))
        networks = [one for one in (model, *within(model)) if isinstance(one, NeuralDenoiser)]
        if not networks:
            raise InputError(f"counted: asks a network what it foresees, and {type(model).__name__} has none")

        def count(code: Any, t: Times) -> Tensor:
            chances = networks[0].output(code, t, {"mask": exists(code)})["atoms"].softmax(-1)[..., column]
            return (code["atoms"][..., column] + code["atoms"][..., -1] * chances).sum(-1)

        return ValueFunction(count)

    return ValueFunctionOf(make)


_MATCHED = ("elements", "length", "std")


def _regressor(by: Regressor | str) -> tuple[Regressor, Mapping[str, Any]]:
    """A regressor that can guide, and its facts; InputError for one of clean molecules, or of a user's own making."""
    regressor = load_regressor(by) if isinstance(by, str) else by
    if regressor.origin is None:
        raise InputError("the regressor comes from no training: load one with on.load_regressor")
    if regressor.clean:
        name = f"{regressor.origin.domain}/{regressor.origin.name}"
        raise InputError(f"{name}: was trained on clean molecules, expected noisy ones to guide by")
    return regressor, regressor.origin.metadata


def require_match(regressor: Regressor, metadata: Mapping[str, Any]) -> None:
    """InputError unless the regressor knows the elements, sizes and noise of the model with these facts."""
    assert regressor.origin is not None
    name, known = f"{regressor.origin.domain}/{regressor.origin.name}", regressor.origin.metadata
    for fact in _MATCHED:
        if known[fact] != metadata[fact]:
            raise InputError(f"{name}: was trained with {fact} {known[fact]}, the model with {metadata[fact]}")


def exists(code: Mapping[str, Tensor]) -> Bool[Tensor, "batch n"]:
    """The atoms that are there, by the code of a molecule."""
    return code["atoms"].sum(-1) > 0


def targets(properties: Mapping[str, float], metadata: Mapping[str, Any]) -> Float[Tensor, " properties"]:
    """Properties in the units of the data, standardised; NaN where nothing is said.

    InputError for unknown ones and for values that are not finite.
    """
    values, known = torch.full((len(metadata["properties"]),), torch.nan), list(metadata["properties"])
    for name, value in properties.items():
        if name not in known:
            raise InputError(f"property {name!r}: this model knows {', '.join(known) or 'none'}")
        if not np.isfinite(value):
            raise InputError(f"property {name!r} is {value}, expected a finite number, in the units of the data")
        values[known.index(name)] = value
    return standardised(values[None], metadata)[0]


# Of which elements ------------------------------------------------------------------------------------


def _of_atoms(
    name: str, make: Callable[[tuple[int, ...], Product], Guide], elements: Sequence[int] | None = None
) -> ForModel:
    """A guide about atoms, made of the model's elements; `elements` says them of a denoiser of the user's own."""

    def checked(metadata: Mapping[str, Any], space: Any) -> Guide:
        known, parts = tuple(metadata["elements"]), getattr(space, "parts", {})
        if not {"positions", "atoms"} <= parts.keys():
            raise InputError(f"{name}: is about molecules, with parts positions and atoms; this model draws none")
        if parts["atoms"].size != len(known):
            raise InputError(f"{name}: {len(known)} elements are said, the model tells {parts['atoms'].size} apart")
        return make(known, space)

    return ForModel(name, checked, ("elements",), {} if elements is None else {"elements": list(elements)})


def _known(name: str, element: int | str, elements: Sequence[int]) -> int:
    """The number of protons of an element, given as such or by its symbol; InputError if it is not the model's."""
    protons = periodic.atomic_numbers.get(element, 0) if isinstance(element, str) else element
    if protons not in elements:
        known = ", ".join(periodic.chemical_symbols[z] for z in elements)
        raise InputError(f"{name}: the model does not know {_symbol(element)}, only {known}")
    return protons


def _symbol(element: int | str) -> str:
    if isinstance(element, int) and 0 < element < len(periodic.chemical_symbols):
        return periodic.chemical_symbols[element]
    return str(element) if element in periodic.atomic_numbers else f"an element {element!r}"


# Hydrogen bonds and clashes -----------------------------------------------------------------------------


def hydrogen_bond(
    weight: float = 1.0,
    donor: str | None = None,
    acceptor: str | None = None,
    elements: Sequence[int] | None = None,
) -> ForModel:
    """Wants a hydrogen bond within the molecule, from when its shape is decided; see chemistry/hydrogen_wishes.py.

    Args:
        donor, acceptor: "N" or "O"; None = either.
        elements: numbers of protons of the categories, for a denoiser of your own.
        weight: power of the factor: log g is multiplied by it.

    InputError if the model knows no hydrogen, or not the donor or acceptor.
    """
    for end, said in (("donor", donor), ("acceptor", acceptor)):
        if said is not None and periodic.atomic_numbers.get(said) not in POLAR:
            raise InputError(f"hydrogen_bond: {end} is {said!r}, expected N or O")

    def make(known: tuple[int, ...], space: Product) -> Interval:
        if 1 not in known or not set(POLAR) & set(known):
            raise InputError(f"hydrogen_bond: the model's elements have {list(known)} protons, expected 1 and 7 or 8")
        donors, acceptors = (
            tuple(z for z in POLAR if z in known) if said is None else (_known("hydrogen_bond", said, known),)
            for said in (donor, acceptor)
        )
        return Interval(HydrogenBonded(known, weight, donors, acceptors), _SHAPED)

    return _of_atoms("hydrogen_bond", make, elements)


def clash_penalty(distance: float = 1.15, weight: float = 100.0, elements: Sequence[int] | None = None) -> ForModel:
    """Penalises clashes: heavy atoms closer than so many Å, by weight · (distance − d)² a pair.

    elements: as of `hydrogen_bond`.
    """

    def make(known: tuple[int, ...], space: Product) -> Energy:
        heavy_ones = torch.tensor([float(z > 1) for z in known])

        def clashes(code: Any) -> Tensor:
            x, probs = code["positions"], code["atoms"]
            heavy = probs[..., : len(known)] @ heavy_ones.to(probs)
            d = ((x[:, :, None] - x[:, None]).square().sum(-1) + 1e-6).sqrt()
            each = (distance - d).clamp(min=0) ** 2 * heavy[:, :, None] * heavy[:, None]
            return each.triu(1).sum((1, 2))

        return Energy(clashes, weight)

    return _of_atoms("apart", make, elements)


def docking_energy(pocket: Pocket, weight: float = 1.0, elements: Sequence[int] | None = None) -> ForModel:
    """Ligands that bind: exp(−weight · E) with Vina's energy in kcal/mol; see chemistry.pockets.

    elements: as of `hydrogen_bond`. InputError for elements that Vina has no radius of.

    Args:
        pocket: the protein around the ligand, positions in Å.
    """

    def make(known: tuple[int, ...], space: Product) -> Energy:
        if foreign := sorted(set(known) - {1, *RADII}):
            raise InputError(f"bound: Vina has no radius of the elements with {foreign} protons")
        vina = Vina(pocket, known)

        def binding(code: Any) -> Tensor:
            return vina(code["positions"], code["atoms"][..., : len(known)])

        return Energy(binding, weight)

    return _of_atoms("bound", make, elements)


# Fixed atoms ------------------------------------------------------------------------------------------


def fixed(part: Molecule, elements: Sequence[int] | None = None) -> ForModel:
    """The first atoms are these, exactly, wherever the rest comes to be: scaffolds, linkers, inpainting.

    InputError if an element is not the model's, or nothing is left free.

    Args:
        part: the atoms and their positions, Å.
        elements: as of `hydrogen_bond`.
    """

    def make(known: tuple[int, ...], space: Any) -> Several:
        (length,), k = space.parts["atoms"].shape, len(part)
        require_known(part, {"elements": known, "length": length - 1}, "fixed atoms")
        where, atoms, positions = torch.arange(length) < k, torch.zeros(length).long(), torch.zeros(length, 3)
        atoms[:k] = torch.tensor([known.index(int(z)) for z in part.numbers])
        positions[:k] = torch.from_numpy(part.positions - part.positions.mean(0)).float()
        return Several((RigidMotif(positions, where).on("positions"), Fixed(atoms, where).on("atoms")))

    return _of_atoms("fixed", make, elements)


# Energies ---------------------------------------------------------------------------------------------


def energy(temperature: float = 1000.0, elements: Sequence[int] | None = None) -> ForModel:
    """Weighs molecules by exp(−E/kT) of tight binding, once they have bonds: a cloud of noise has no energy.

    InputError for elements whose own energies are not known here.

    Args:
        temperature: K.
        elements: as of `hydrogen_bond`.
    """

    def make(known: tuple[int, ...], space: Product) -> Interval:
        if foreign := sorted(set(known) - set(REFERENCES)):
            raise InputError(f"temperature: energies are known of H, C, N, O and F, not of {foreign} protons")
        return Interval(TightBinding(known, temperature), 0.35)

    return _of_atoms("relaxed", make, elements)
