"""The graph of a molecule as bounds of its distances: a factor about positions that are drawn for given elements.

    g(x) = exp(−w E(x)),   E = Σ_{i<j} max(d_ij − u_ij, 0)² + max(l_ij − d_ij, 0)²

Distances do not see a mirror. Where centres are handed E has a further term for each, Å² max(½ − V, 0)², with V the
volume that its neighbours span, of the wanted sign, over the lengths of its edges (a regular tetrahedron has .71).

Inside of the bounds nothing is preferred. E is stiff: every atom feels all others, and early beliefs are far off, so an
expansion at the mean (guidance/factors.py) oversteps. Here the belief given g is found by the proximal operator

    x* = argmin_x  w E(x) + ‖x − m‖² / 2c,   c = min(σ/α, 1 Å)²

(Parikh & Boyd 2014; for diffusion models Zhu et al. 2023), which no weight makes unstable: m is the mean of the belief,
and its value there, the envelope of Moreau, stands for −log E[g]. It costs no gradient of the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...beliefs import Belief, Normal
from ...denoisers.base import Condition
from ...errors import InputError
from ...guidance.binding import ForModel, Several
from ...guidance.factors import Factor, Updated
from ...guidance.functions import require_weight
from ...guidance.measurements import Fixed
from ...spaces import Product, Space
from ...states import State, Time
from . import data
from .chemistry.records import Fault
from .chemistry.smiles import distance_bounds, handedness, parsed, placeless

WEIGHT = 10.0
"""1/Å²: bounds that are missed by .1 Å cost a tenth."""

BOUNDS, CENTRES = "distance bounds", "handed centres"
"""The conditions that hold those of each molecule, of which the model is not told."""

_WIDEST = 1.0  # Å, of the doubt about positions: beyond it a belief says where a molecule is, and not what it is
_MOVES = 30
_FLAT = 0.5


@dataclass(frozen=True)
class DistanceBounds(Factor):
    """Positions whose distances are within bounds.

    Attributes:
        bounds: Å, upper ones above the diagonal, lower ones below: (n, n) for all, (batch, n, n) for each, or the name
            of the condition that holds them.
        weight: w, 1/Å².
        centres: rows of four neighbours and a sign, as `smiles.handedness` has them, likewise; None = none is handed.
    """

    bounds: Tensor | str
    weight: float = WEIGHT
    centres: Tensor | str | None = None

    time_independent = False

    def __post_init__(self) -> None:
        require_weight(self, self.weight)
        if self.weight < 0:
            raise InputError(f"DistanceBounds: weight is {self.weight}, expected a number of at least 0")

    @property
    def names(self) -> frozenset[str]:
        return frozenset(one for one in (self.bounds, self.centres) if isinstance(one, str))

    @property
    def provenance(self) -> Mapping[str, Any]:
        return {"factor": "DistanceBounds", "weight": self.weight}

    def require_fit(self, space: Space) -> None:
        shape = getattr(space, "shape", ())
        if len(shape) != 2 or shape[1] != 3:
            raise InputError("DistanceBounds: is about positions, (n, 3); say which part, as in .on('positions')")
        if isinstance(self.bounds, Tensor) and self.bounds.shape[-2:] != (shape[0], shape[0]):
            found = tuple(self.bounds.shape)
            raise InputError(f"DistanceBounds: has the shape {found}, expected ({shape[0]}, {shape[0]})")

    def bound(self, condition: Condition | None) -> "DistanceBounds":
        given = condition or {}
        for name in self.names - given.keys():
            raise InputError(f"DistanceBounds: the condition {name!r} is not given")
        bounds, centres = (given[one] if isinstance(one, str) else one for one in (self.bounds, self.centres))
        return replace(self, bounds=bounds, centres=centres)

    def tempered(self, power: float) -> "DistanceBounds":
        return replace(self, weight=self.weight * power)

    def log_expect(self, belief: Belief) -> Float[Tensor, " batch"]:
        mean = belief.mean
        assert isinstance(mean, Tensor)
        return -self.weight * self._energy(mean.double())

    def update(self, belief: Belief, x_t: State, t: Time, space: Any) -> Updated:
        assert isinstance(belief, Normal)
        mean = belief.mean
        at = torch.as_tensor(t, dtype=torch.float64, device=mean.device)
        noise = (space.schedule.sigma(at) / space.schedule.alpha(at)).clamp(1e-4, _WIDEST)
        doubt = noise.square().reshape(-1, 1, 1).to(mean)
        moved = self._nearest(mean, doubt)
        apart = ((moved - mean).square() / (2 * doubt)).sum((1, 2))
        value = -(self.weight * self._energy(moved) + apart).double()
        return value, replace(belief, mean=moved)

    def _nearest(self, mean: Float[Tensor, "batch n 3"], doubt: Float[Tensor, "#batch 1 1"]) -> Tensor:
        """x*, by Nesterov's accelerated descent: a few moves from where the belief is suffice."""
        atoms = (self._sides()[0] > 0).sum(-1).amax(-1).reshape(-1, 1, 1) + 1
        step = 1 / (1 / doubt + 4 * self.weight * atoms)
        x = ahead = mean
        pace = 1.0
        for _ in range(_MOVES):
            apart, d = _pairs(ahead)
            pull = self.weight * (2 * ((self._missed(d) / d)[..., None] * apart).sum(2) + self._turning(ahead))
            before, x = x, ahead - step * ((ahead - mean) / doubt + pull)
            faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
            ahead, pace = x + (pace - 1) / faster * (x - before), faster
        return x

    def _energy(self, x: Float[Tensor, "batch n 3"]) -> Float[Tensor, " batch"]:
        return self._missed(_pairs(x)[1]).square().sum((1, 2)) / 2 + self._unlike(x)

    def _turning(self, x: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 3"]:
        """The gradient of what is handed otherwise."""
        if self.centres is None:
            return torch.zeros_like(x)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self._unlike(x).sum(), x)[0]

    def _unlike(self, x: Float[Tensor, "batch n 3"]) -> Float[Tensor, " batch"]:
        """Σ max(½ − V, 0)² over the centres."""
        if self.centres is None:
            return x.new_zeros(len(x))
        assert isinstance(self.centres, Tensor)
        rows = self.centres.expand(len(x), *self.centres.shape[-2:])
        corners = x[torch.arange(len(x), device=x.device)[:, None, None], rows[..., :4]]
        a, b, c = (corners[..., :3, :] - corners[..., 3:, :]).unbind(-2)
        lengths = torch.stack([a, b, c]).square().sum(-1).add(1e-2).sqrt().prod(0)
        volume = (a * torch.linalg.cross(b, c)).sum(-1) / lengths
        return ((_FLAT - rows[..., 4] * volume).clamp(min=0).square() * (rows[..., 4] != 0)).sum(-1)

    def _missed(self, d: Float[Tensor, "batch n n"]) -> Float[Tensor, "batch n n"]:
        """By how much each distance is too long, or negative and too short."""
        low, high = (side.to(d) for side in self._sides())
        return (d - high).clamp(min=0) - (low - d).clamp(min=0)

    def _sides(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds, both symmetric."""
        assert isinstance(self.bounds, Tensor)
        low, high = self.bounds.tril(-1), self.bounds.triu(1)
        return low + low.mT, high + high.mT + torch.eye(low.shape[-1], device=low.device)


def _pairs(x: Float[Tensor, "batch n 3"]) -> tuple[Tensor, Tensor]:
    """Differences and distances."""
    apart = x[:, :, None] - x[:, None]
    return apart, (apart.square().sum(-1) + 1e-6).sqrt()


def conformer_bounds(smiles: str, weight: float = WEIGHT) -> ForModel:
    """Conformers of a molecule: its elements are known from the start, its distances wanted within RDKit's bounds.

    The first atoms are those of the SMILES in its order, hydrogens behind them; draw as many as these, by the condition
    "mask". Centres of which the SMILES says no handedness have either.

    Args:
        smiles: of a neutral molecule, hydrogens implied.
        weight: of the bounds, 1/Å²; 0 leaves to chance which isomer of the formula it is.

    InputError for what RDKit does not read, and for a molecule that the model cannot know.
    """

    def make(metadata: Mapping[str, Any], space: Product) -> Several:
        try:
            mol = parsed(smiles)
        except Fault as fault:
            raise InputError(f"conformer_bounds: {fault}") from None
        wanted = placeless(mol)
        data.require_known(wanted, metadata, f"conformer_bounds: {smiles}")
        x, condition = data.states([wanted], metadata)
        bounds = torch.from_numpy(distance_bounds(mol, metadata["length"])).float()
        elements = Fixed(x["atoms"][0], condition["mask"][0])
        centres = torch.from_numpy(handedness(mol, metadata["length"]))
        return Several((elements.on("atoms"), DistanceBounds(bounds, weight, centres).on("positions")))

    return ForModel("conformer_bounds", make, ("elements", "length"))
