"""What the tour tells of molecules: a part that is given, a bond that is wished for, a knob that can be predicted."""

from typing import TYPE_CHECKING

import torch

from ...deferred import deferred
from ...denoisers.base import Denoiser, NeuralDenoiser
from ...events import Stream, part
from ...report import knobs
from ...tasks.drawing import draws
from ...tasks.engines import Independent
from ...tasks.figures import Chapter, Figure, Metric
from ...tasks.samples import Samples
from ...tasks.strength import StrengthSearch
from . import factors
from .chemistry import figures
from .chemistry.hydrogen_bonds import hydrogen_bonds
from .chemistry.molecule import Molecule
from .chemistry.stability import Stability
from .drawn import ONCE, molecules_of, sizes

if TYPE_CHECKING:
    from ase import build
else:
    build = deferred("ase.build")

WISH = 4.0  # for a hydrogen bond
_QUICK = 40  # calls of a chapter
_GAMMAS = (-0.8, 0.0, 0.8)
_ATOMS = 18  # of each molecule under the knob: sizes are not pushed
AROUND = "Built around a ring that is given"
WISHED, KNOB = "A hydrogen bond within the molecule, wished for", "A knob that can be predicted"


def _drawn(denoiser: Denoiser, n: int, seed: int, atoms: int | None = None) -> Stream[Samples]:
    """Molecules in few calls.

    Args:
        atoms: of each molecule, hydrogens included; as in the data if not given.
    """
    assert denoiser.origin is not None
    metadata = denoiser.origin.metadata
    condition = {"mask": torch.arange(metadata["length"]) < sizes(range(n), metadata, atoms)[:, None]}
    how = Independent(**{**ONCE, "steps": _QUICK}, batch_size=32)
    return draws(denoiser, n, how, seed=seed, condition=condition)


def around(model: NeuralDenoiser, seed: int, n: int = 12, atoms: int = 16) -> Stream[Chapter]:
    """Molecules that hold the six carbons of benzene."""
    benzene = build.molecule("C6H6")
    ring = Molecule(benzene.numbers[:6], benzene.positions[:6])
    samples = yield from _drawn(model & factors.fixed(ring), n, seed, atoms)
    found = molecules_of(samples)
    wall = figures.gallery(found, n)[0]
    assert isinstance(wall, Figure)
    return Chapter(
        AROUND,
        f"The six carbons of benzene hold exactly; {atoms - 6} atoms more are drawn around them, in {_QUICK} calls. "
        "Draw your own: <code>ornstein sample molecules/qm9 --fixed ring.sdf</code>",
        [wall],
        [Metric("atoms stable", Stability.of(found).atoms, "higher", f"Of {n} molecules, by EDM's table.")],
        wall,
    )


def bonded(model: NeuralDenoiser, n: int, seed: int) -> Stream[Chapter]:
    """Hydrogen bonds without and with a wish for them."""
    wish = factors.hydrogen_bond(WISH)
    as_it_is = yield from part(_drawn(model, n, seed), 0, 1, 4)
    guided = yield from part(_drawn(model & wish, n, seed), 1, 3, 4)
    plain, wished = molecules_of(as_it_is), molecules_of(guided)
    shares = [sum(bool(hydrogen_bonds(one)) for one in found) / len(found) for found in (plain, wished)]
    stable = [Stability.of(found).atoms for found in (plain, wished)]
    shown = figures.bonded(wished)
    return Chapter(
        WISHED,
        f"The same {n} seeds without and with <code>model &amp; on.molecules.hydrogen_bond({WISH:g})</code>, "
        f"{_QUICK} calls each. Distances are from a hydrogen on nitrogen or oxygen to the nearest that may accept it.",
        [*shown, figures.shortest_contacts({"as it is": plain, "wished for": wished})],
        [
            Metric("with a hydrogen bond", shares[1], "higher", "H···A at most 2.5 Å, D–H–A at least 110°.", shares[0],
                  "without the wish"),
            Metric("atoms stable", stable[1], "higher", "By EDM's table.", stable[0], "without the wish"),
        ],
        shown[0] if shown else None,
    )  # fmt: skip


def knob(model: NeuralDenoiser, n: int, seed: int) -> Stream[Chapter]:
    """Nitrogen atoms against the strength of a wish for them, beside what unguided molecules predict."""
    search, measured = StrengthSearch(model, factors.element_count("N"), n), {}
    for k, gamma in enumerate(_GAMMAS):
        samples = yield from part(_drawn(model & search.guide(gamma), n, seed, _ATOMS), k, 1, len(_GAMMAS))
        measured[gamma] = search.value(samples)
    return knobs.chapter(
        KNOB,
        f"Nitrogen atoms a molecule under exp(γ · their number), which the model itself foresees in noisy molecules: "
        f"{n} molecules of {_ATOMS} atoms at each γ, and what those at γ = 0 say of the others.",
        "nitrogen atoms a molecule",
        measured,
    )
