"""A transformer over atoms in space: turned, mirrored or shifted molecules give outputs turned, mirrored and the same.

Atoms carry features h_i, vectors V_i and positions x_i, pairs carry z_ij; distances are d_ij = ‖x_i − x_j‖. One layer:

    z_ij += A h_i + B h_j + C b(d_ij),   e_ij = silu(z_ij)                 what a pair is
    a_ij  = softmax_j(q_i · k_j + D e_ij)                                  attention
    h_i  += Σ_j a_ij (v_j, e_ij)                                           messages
    V_i   = M V_i + mean_j tanh(E e_ij) (x_i − x_j)/(d_ij + 1)             vectors
    h_i  += MLP(h_i, ‖P V_i‖², P V_i · Q V_i)                              what vectors see: lengths and angles
    x_i  += Σ_k g_k(h_i) V_ik

after Thölke & De Fabritiis 2022 (attention and vectors), Satorras et al. 2021 (positions) and Peebles & Xie 2023 (noise
level, size and properties scale and shift every layer). Wide products are taken atom by atom, so that pairs are cheap.

A regressor has the same trunk. It adds up what atoms contribute, and sees the lengths of dipoles Σ_i q(h_i) x_i whose
charges add up to zero, so turned, mirrored and shifted molecules have the same numbers.

Lengths and dot products do not see a mirror: an enantiomer is as likely as its mirror image, as energies in vacuum have
it, while the relative handedness of two centres is seen. `chiral` adds triple products, which change sign in a mirror.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log1p
from typing import ClassVar, Self

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from ..errors import InputError
from .embeddings import TimeEmbedding
from .grouping import alike, together
from .mlp import zeroed
from .particles import RadialBasis

Times = Tensor | Mapping[str, Tensor]
LAST = ("last positions", "last atoms")
"""The conditions by which a network recalls: what it believed at the step before; see denoisers/recall.py."""

_REACH = 7.0  # of the bumps over distances, in standard deviations of a coordinate
_SHARPER = 2.0  # how much closer they are for short distances


@dataclass(frozen=True)
class MolecularConfig:
    """Size of a network for molecules.

    Attributes:
        width: features an atom.
        layers: rounds of messages.
        heads: of the attention.
        pairs: features a pair.
        vectors: an atom.
        radial: bumps over the distances.
        chiral: it tells mirror images apart.
        recalls: it sees what it believed at the step before (self-conditioning; Chen et al. 2023).
    """

    width: int = 192
    layers: int = 6
    heads: int = 8
    pairs: int = 64
    vectors: int = 16
    radial: int = 32
    chiral: bool = False
    recalls: bool = False

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("width", "layers", "heads", "pairs", "vectors"), "[1, 65536]")
        require_in(self, "network.", {**sizes, "layers": "[1, 1024]", "radial": "[2, 65536]"})
        if self.width % self.heads:
            raise InputError(f"network.width is {self.width}, expected a multiple of the {self.heads} heads")


@dataclass(frozen=True)
class _Cloud:
    """What all layers share of one batch: conditioning (batch, 1, width), which atoms and pairs exist, 1/atoms.

    Attributes:
        corners: the pairs i ≤ j, and the place of every pair among them.
    """

    about: Float[Tensor, "batch 1 width"]
    exists: Bool[Tensor, "batch n"]
    share: Float[Tensor, "batch 1 1 1"]
    corners: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, about: Tensor, exists: Tensor, like: Tensor) -> Self:
        """like: positions, whose precision counts."""
        share = 1 / exists.sum(1).to(like)[:, None, None, None]
        return cls(about, exists, share, _corners(exists.shape[1], exists.device))

    def part(self, rows: Tensor | slice, n: int) -> Self:
        """Some of the molecules, as far as n atoms."""
        if isinstance(rows, slice) and n == self.exists.shape[1]:
            return self
        corners = _corners(n, self.exists.device)
        return replace(
            self, about=self.about[rows], exists=self.exists[rows, :n], share=self.share[rows], corners=corners
        )

    def differences(self, x: Float[Tensor, "batch n 3"]) -> tuple[Tensor, Tensor]:
        """x_i − x_j, (batch, 3, n, n), and their lengths."""
        planes = x.mT[..., None]
        differences = planes - planes.mT
        return differences, (differences.square().sum(1) + 1e-6).sqrt()

    def encoded(self, distances: Float[Tensor, "batch n n"], radial: nn.Module, into: nn.Module) -> Tensor:
        """into(radial(distances)), (batch, n, n, ·), computed for one of (i, j) and (j, i)."""
        first, place = self.corners
        once = distances.flatten(1).index_select(1, first)
        return into(radial((_SHARPER * once).log1p())).index_select(1, place).unflatten(1, distances.shape[1:])

    def centred(self, x: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 3"]:
        x = x * self.exists[..., None]
        return (x - x.sum(1, keepdim=True) * self.share[..., 0]) * self.exists[..., None]


def _corners(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pairs i ≤ j of n atoms, numbered among all n², and for all n² which of them they are."""
    i, j = torch.triu_indices(n, n, device=device)
    place = torch.empty(n, n, dtype=torch.int64, device=device)
    place[i, j] = place[j, i] = torch.arange(len(i), device=device)
    return i * n + j, place.flatten()


class MolecularLayer(nn.Module):
    """One round: pairs, messages, vectors, features, positions."""

    def __init__(self, config: MolecularConfig, radial: int) -> None:
        super().__init__()
        width, pairs, vectors, self.heads, self.chiral = (
            config.width, config.pairs, config.vectors, config.heads, config.chiral,
        )  # fmt: skip
        self.adapt = zeroed(nn.Linear(width, 6 * width))
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.into, self.ends = nn.Linear(width, 3 * width), nn.Linear(width, 2 * pairs)
        self.distance, self.bias = nn.Linear(radial, pairs, bias=False), nn.Linear(pairs, self.heads)
        self.heard = nn.Linear(width + self.heads * pairs, width)
        self.pull, self.mix = nn.Linear(pairs, vectors), nn.Linear(vectors, vectors, bias=False)
        self.views = nn.Linear(vectors, (3 if self.chiral else 2) * vectors, bias=False)
        seen = (3 if self.chiral else 2) * vectors
        self.dense = nn.Sequential(nn.Linear(width + seen, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.gates = zeroed(nn.Linear(width, vectors))

    def forward(
        self, x: Tensor, h: Tensor, vectors: Tensor, z: Tensor, radial: nn.Module, cloud: _Cloud
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Positions (batch, n, 3), features (batch, n, width), vectors (batch, n, 3, ·) and pairs (batch, n, n, ·).

        Args:
            x: positions, (batch, n, 3).
            h: features of the atoms, (batch, n, width).
            z: features of the pairs, (batch, n, n, ·).
            radial: encoded distances of the pairs, (batch, n, n, ·).
            cloud: which atoms and pairs exist.
        """
        shift, scale, gate, shift_2, scale_2, gate_2 = self.adapt(cloud.about).chunk(6, -1)
        features = (self.norms[0](h) * (1 + scale) + shift).to(scale.dtype)
        differences, distances = cloud.differences(x)
        first, second = self.ends(features).chunk(2, -1)
        z = z + cloud.encoded(distances, radial, self.distance) + (first[:, :, None] + second[:, None])
        pair = F.silu(z)
        h = h + gate * self._messages(features, pair, cloud)
        towards = differences * (cloud.exists[:, None] / (distances + 1))[:, None]
        pulled = torch.einsum("bijc,bkij->bikc", torch.tanh(self.pull(pair)), towards) * cloud.share
        vectors = self.mix(vectors) + pulled
        features = self.norms[1](h) * (1 + scale_2) + shift_2
        h = h + gate_2 * self.dense(torch.cat([features, self._seen(vectors)], -1))
        return cloud.centred(x + (self.gates(h)[:, :, None] * vectors).sum(-1)), h, vectors, z

    def _messages(self, features: Tensor, pair: Tensor, cloud: _Cloud) -> Tensor:
        q, k, v = rearrange(self.into(features), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        logits = q @ k.mT * q.shape[-1] ** -0.5 + self.bias(pair).permute(0, 3, 1, 2)
        attention = logits.masked_fill(~cloud.exists[:, None, None], -torch.inf).softmax(-1).to(v.dtype)
        of_atoms = rearrange(attention @ v, "b h n d -> b n (h d)")
        of_pairs = rearrange(attention.transpose(1, 2) @ pair.to(v.dtype), "b n h p -> b n (h p)")
        return self.heard(torch.cat([of_atoms, of_pairs], -1))

    def _seen(self, vectors: Tensor) -> Tensor:
        """Squared lengths, dot products and, of a chiral network, triple products at the scale of lengths."""
        a, b, *others = self.views(vectors).float().chunk(3 if self.chiral else 2, -1)
        seen = [a.square().sum(2), (a * b).sum(2)]
        for c in others:
            volume, size = (torch.linalg.cross(a, b, dim=2) * c).sum(2), seen[0] + (b.square() + c.square()).sum(2)
            seen.append(volume / (size + 1e-2))
        return torch.cat(seen, -1)


class Recollection(nn.Module):
    """What was believed at the step before, as features of atoms and pairs and as vectors; nothing where it is NaN.

    It begins with zeros, so that a network that did not recall can learn to.

    Args:
        states: of a noisy atom, of which each has a probability.
        radial: bumps over the distances.
    """

    def __init__(self, config: MolecularConfig, states: int, radial: int) -> None:
        super().__init__()
        self.said, self.atoms = zeroed(nn.Linear(1, config.width)), zeroed(nn.Linear(states, config.width))
        self.pairs = zeroed(nn.Linear(radial, config.pairs, bias=False))
        self.vectors = zeroed(nn.Linear(1, config.vectors, bias=False))

    def forward(
        self, last: tuple[Tensor, Tensor], x: Tensor, radial: nn.Module, cloud: _Cloud
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features (batch, n, width), vectors (batch, n, 3, ·) and pairs (batch, n, n, ·).

        Args:
            last: believed positions at unit variance and probabilities of the elements, NaN where there was no belief.
            x: positions, (batch, n, 3).
            radial: encodes distances.
            cloud: which atoms exist.
        """
        said = ~last[0].isnan().flatten(1).any(1)[:, None, None]
        positions, atoms = cloud.centred(last[0].where(said, 0.0)), last[1].where(said, 0.0)
        pairs = cloud.encoded(cloud.differences(positions)[1], radial, self.pairs) * said[..., None]
        vectors = self.vectors((positions - x)[..., None]) * said[..., None]
        return (self.said(said.to(atoms)) + self.atoms(atoms)) * said, vectors, pairs


class MolecularTrunk(nn.Module):
    """What the networks share: atoms and noise level in, and all layers.

    Atoms are numbers, or their codes (batch, n, states), in which the output is differentiable.

    Args:
        states: of a noisy atom.
        properties: how many numbers it can be told.

    Attributes:
        any_length: it works on any number of positions, so that those no molecule of a batch has may be cut off.
    """

    any_length: ClassVar[bool] = True

    def __init__(self, config: MolecularConfig, states: int, properties: int = 0) -> None:
        super().__init__()
        width, self.vectors = config.width, config.vectors
        self.atoms, self.time = nn.Embedding(states, width), TimeEmbedding(width)
        self.size = nn.Linear(2, width)
        self.told = None
        if properties:
            self.told = nn.Sequential(nn.Linear(2 * properties, width), nn.SiLU(), nn.Linear(width, width))
        self.radial = RadialBasis(config.radial, log1p(_SHARPER * _REACH))
        self.layers = nn.ModuleList(MolecularLayer(config, self.radial.features) for _ in range(config.layers))
        self.recollection = Recollection(config, states, self.radial.features) if config.recalls else None

    @property
    def recalls(self) -> bool:
        """Whether it sees what it believed at the step before."""
        return self.recollection is not None

    def through(
        self, x: Mapping[str, Tensor], t: Times, condition: Mapping[str, Tensor]
    ) -> tuple[_Cloud, Tensor, Tensor, Tensor]:
        """The cloud, positions before and after the layers, and features, as far as molecules of the batch reach.

        Args:
            x: positions and elements.
            t: of the positions, (batch,), or that of each part: how noisy elements are, their masks say themselves.
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
        """
        atoms, mask = x["atoms"], condition.get("mask")
        mask = torch.ones(atoms.shape[:2], dtype=torch.bool, device=atoms.device) if mask is None else mask
        t = t["positions"] if isinstance(t, Mapping) else t
        about = F.silu(self._about(mask, t, condition.get("properties")))[:, None]
        cloud = _Cloud.of(about, mask, x["positions"])
        start = cloud.centred(x["positions"])
        groups = alike(mask, self.training)
        walked = [self._walk(start, atoms, condition, cloud, rows, n) for rows, n in groups]
        now, h = (together(parts, [rows for rows, _ in groups], atoms.shape[1]) for parts in zip(*walked, strict=True))
        return cloud, start, now, h

    def _walk(
        self, start: Tensor, atoms: Tensor, condition: Mapping[str, Tensor], cloud: _Cloud, rows: Tensor | slice, n: int
    ) -> tuple[Tensor, Tensor]:
        """Positions and features after the layers, of some of the molecules as far as n atoms."""
        cloud, start, atoms = cloud.part(rows, n), start[rows, :n], atoms[rows, :n]
        now, h = start, (atoms @ self.atoms.weight if atoms.is_floating_point() else self.atoms(atoms)) + cloud.about
        vectors, z = start.new_zeros(*start.shape, self.vectors), start.new_zeros(())
        if self.recollection is not None and LAST[0] in condition:
            last = condition[LAST[0]][rows, :n], condition[LAST[1]][rows, :n]
            more, vectors, z = self.recollection(last, start, self.radial, cloud)
            h = h + more
        for layer in self.layers:
            now, h, vectors, z = layer(now, h, vectors, z, self.radial, cloud)
        return now, h

    def _about(self, mask: Tensor, t: Tensor, properties: Tensor | None) -> Tensor:
        """Noise level, number of atoms and properties."""
        n = mask.sum(1).to(t)
        about = self.time(t) + self.size(torch.stack([n / 20, 20 / n], -1))
        if self.told is None or properties is None:
            return about
        said = ~properties.isnan()
        if self.training:
            said = said & (torch.rand_like(properties) < 0.5)
        return about + self.told(torch.cat([properties.where(said, 0.0), said.to(t)], -1))


class MolecularTransformer(MolecularTrunk):
    """Positions (batch, n, 3) at unit variance and atoms (batch, n) → how positions move, and logits of the elements.

    Conditions: "mask" (batch, n), the atoms that exist; "properties" (batch, properties), standardised, NaN = not said.
    While it is trained each property is left out half of the time, so that any of them can be asked for alone.

    Args:
        config: its size.
        states: of an atom, the mask included.
        elements: of a clean atom.
        properties: how many it can be told.
    """

    def __init__(self, config: MolecularConfig, states: int, elements: int, properties: int = 0) -> None:
        super().__init__(config, states, properties)
        self.scale, self.norm = zeroed(nn.Linear(config.width, 1)), nn.LayerNorm(config.width)
        self.elements = nn.Linear(config.width, elements)

    def forward(self, x: Mapping[str, Tensor], t: Times, condition: Mapping[str, Tensor]) -> dict[str, Tensor]:
        cloud, start, now, h = self.through(x, t, condition)
        moved, logits = now - start + self.scale(cloud.about) * start, self.elements(self.norm(h))
        return {"positions": moved, "atoms": logits}


class MolecularRegressor(MolecularTrunk):
    """Positions and atoms as above → means and logarithms of the spread of some numbers, (batch, 2, numbers).

    The spread is that of the noise level and the number of atoms, not of the molecule: a guide by p(y | x_t) then seeks
    molecules with the right y, not ones of which little can be said.

    Args:
        config: its size.
        states: of an atom, the mask included.
        numbers: how many are predicted.
    """

    def __init__(self, config: MolecularConfig, states: int, numbers: int) -> None:
        super().__init__(config, states)
        width = config.width
        self.norm, self.charges = nn.LayerNorm(width), nn.Linear(width, config.vectors)
        self.each = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.added = nn.Linear(width, numbers)
        whole = nn.Linear(2 * width + config.vectors, width)
        self.whole = nn.Sequential(whole, nn.SiLU(), nn.Linear(width, numbers))
        self.spread = nn.Sequential(nn.Linear(width, width), nn.SiLU(), zeroed(nn.Linear(width, numbers)))

    def forward(
        self, x: Mapping[str, Tensor], t: Times, condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch 2 numbers"]:
        cloud, start, _, h = self.through(x, t, condition)
        exists, share = cloud.exists[..., None], cloud.share[..., 0]
        h = self.norm(h)
        total = (self.each(h) * exists).sum(1) / 20
        charges = self.charges(h).float() * exists
        charges = (charges - charges.sum(1, keepdim=True) * share) * exists
        dipoles = (charges[:, :, None] * start[..., None]).sum(1)
        lengths = (dipoles.square().sum(1) + 1e-6).sqrt()
        seen = torch.cat([total, cloud.about[:, 0], lengths], -1)
        return torch.stack([self.added(total) + self.whole(seen), self.spread(cloud.about[:, 0])], 1)
