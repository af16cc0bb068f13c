"""A wish for a hydrogen bond, as a factor that is felt from afar.

    s = S/(1 + S),   S = Σ P(D) P(H) P(A) · bound(D–H) · near(H···A) · straight(D–H–A)   over all atoms D, H and A
    log g = weight · log(floor + s)

with near = 1/(1 + (d − 2 Å)²/w²) above 2 Å. Where nothing has formed yet,

    ∂ log g/∂d = −weight · 2 (d − 2 Å)/(w² + (d − 2 Å)²)

falls as 1/d only. A bell would leave log g flat, at its floor, wherever the bond is to come about: the shape of a
molecule is decided at 0.3 to 1 Å of noise, when donors and acceptors are still 3 or 4 Å apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ....deferred import deferred
from ....guidance.factors import Smooth
from ....guidance.functions import require_weight
from .hydrogen_bonds import ANGLE

if TYPE_CHECKING:
    from ase import data as periodic
else:
    periodic = deferred("ase.data")

POLAR = (7, 8)
_BOUND, _BOUND_WIDTH = 1.0, 0.2  # Å, of D–H: no other pair is as close, so that a doubtful mean may be as wide
_SHORT, _SHORT_WIDTH = 1.7, 0.1  # Å: nearer than that, H···A becomes a bond of its own
_NEAR, _TAIL = 2.0, 0.5  # Å
_OPPOSED, _BEND = -np.cos(np.radians(ANGLE + 8)), 0.2  # a little straighter than what counts as formed


@dataclass(frozen=True)
class HydrogenBonded(Smooth):
    """g = (floor + s)^weight, s near 1 where some D–H···A within the molecule is short and straight enough, see above.

    The elements count by their probabilities, also while they are hidden, and feel nothing of it: tilted, they turn
    to more oxygen and nitrogen than the geometry has room for, and half of the molecules lose their valences.

    Attributes:
        elements: the numbers of protons of the model's categories.
        weight: how much it is wanted; 0 = not at all.
        donors, acceptors: the elements D and A may be.
        floor: of molecules without a donor, so that these are not impossible.
    """

    elements: tuple[int, ...]
    weight: float = 1.0
    donors: tuple[int, ...] = POLAR
    acceptors: tuple[int, ...] = POLAR
    floor: float = 1e-3

    def __post_init__(self) -> None:
        require_weight(self, self.weight)

    def log_g(self, code: Any) -> Float[Tensor, " batch"]:
        formed = self.strength(code["positions"], code["atoms"].detach().to(code["positions"]))
        return self.weight * (self.floor + formed / (1 + formed)).log()

    def strength(
        self, x: Float[Tensor, "batch n 3"], probs: Float[Tensor, "batch n states"]
    ) -> Float[Tensor, " batch"]:
        """S.

        Args:
            x: positions, Å.
            probs: of the elements and, last, of no element known; rows of zeros where there is no atom.
        """
        hydrogen, donor, acceptor = (self._any(probs, kinds) for kinds in ((1,), self.donors, self.acceptors))
        apart = x[:, :, None] - x[:, None]
        d = (apart.square().sum(-1) + 1e-6).sqrt()
        opposed = torch.einsum("bdhx,bhax->bdha", apart, apart) / (d[..., None] * d[:, None])  # 1: straight
        straight = torch.sigmoid((opposed - _OPPOSED) / _BEND)
        bound = donor[:, :, None] * hydrogen[:, None] * _bell(d - _BOUND, _BOUND_WIDTH)
        return torch.einsum("bdh,bha,bdha->b", bound, hydrogen[:, :, None] * acceptor[:, None] * _near(d), straight)

    def _any(self, probs: Float[Tensor, "batch n states"], kinds: Sequence[int]) -> Float[Tensor, "batch n"]:
        """The probability that an atom is of one of these elements."""
        return probs[..., [self.elements.index(z) for z in kinds if z in self.elements]].sum(-1)

    def tempered(self, power: float) -> "HydrogenBonded":
        return replace(self, weight=self.weight * power)

    @property
    def provenance(self) -> Mapping[str, Any]:
        donors, acceptors = ([periodic.chemical_symbols[z] for z in kinds] for kinds in (self.donors, self.acceptors))
        return {"factor": "HydrogenBonded", "weight": self.weight, "donors": donors, "acceptors": acceptors}


def _near(d: Tensor) -> Tensor:
    """Of H···A: 1 from 1.7 to 2 Å, soon nothing below, and a long tail above."""
    return _bell((d - _SHORT).clamp(max=0), _SHORT_WIDTH) / (1 + ((d - _NEAR).clamp(min=0) / _TAIL) ** 2)


def _bell(off: Tensor, width: float) -> Tensor:
    return (-((off / width) ** 2) / 2).exp()
