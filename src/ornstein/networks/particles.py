"""A network for particles: turned, mirrored or shifted inputs give outputs turned, mirrored and the same; exchanged
particles, exchanged outputs.

After Satorras, Hoogeboom & Welling 2021 (positions moved along differences) and Schütt et al. 2021 (lengths of vectors
as features, which see angles). With features h_i, time t, d_ij = ‖x_i − x_j‖ and a radial basis b:

    m_ij  = silu(C silu(A h_i + A h_j + B b(d_ij)))             one message a pair, the same both ways
    v_i   = mean_j φ(m_ij) (x_i − x_j) / (d_ij + 1)             a few vectors a particle
    h_i  += MLP(h_i, mean_j m_ij, ‖v_i‖²)
    x_i  += Σ_k g_k(h_i) v_ik

Symmetric messages halve the work. Particles come first inside, so that one matrix product gathers all pairs (x_i − x_j
and h_i + h_j, with the incidence matrix) and another sums over them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import require_in
from .embeddings import TimeEmbedding
from .mlp import zeroed


@dataclass(frozen=True)
class ParticleNetworkConfig:
    """Size of a network for particles.

    Attributes:
        width: features a particle and a pair.
        layers: rounds of messages.
        radial: bumps over the distances.
        reach: distance of the last of them, in standard deviations of a coordinate.
        vectors: a particle and layer.
    """

    width: int = 64
    layers: int = 3
    radial: int = 24
    reach: float = 6.0
    vectors: int = 8

    def __post_init__(self) -> None:
        sizes = {"width": "[1, 65536]", "layers": "[1, 1024]", "vectors": "[1, 65536]", "radial": "[2, 65536]"}
        require_in(self, "network.particles.", {**sizes, "reach": "(0, inf)"})


class RadialBasis(nn.Module):
    """d → bumps (1 − u²)³₊ about centres from 0 to the reach, and d/reach, (d/reach)², 1/(1 + 10 d).

    Gaussians would be as good, but far from their centres they are denormal numbers, which cost ten times as much."""

    centres: Tensor

    def __init__(self, number: int, reach: float) -> None:
        super().__init__()
        self.reach, self.features = reach, number + 3
        self.rate = (number - 1) / (2.5 * reach)  # the inverse of a bump's half width, of which many overlap
        self.register_buffer("centres", torch.linspace(0, reach, number), persistent=False)

    def forward(self, d: Float[Tensor, "*pairs"]) -> Float[Tensor, "*pairs features"]:
        near = (1 - ((d[..., None] - self.centres) * self.rate).square()).relu()
        u = d / self.reach
        return torch.cat([near * near.square(), torch.stack([u, u.square(), 1 / (1 + 10 * d)], -1)], -1)


class Pairs:
    """The n(n − 1)/2 pairs of n particles, which are the first axis of what is gathered or averaged."""

    def __init__(self, n: int, like: Tensor) -> None:
        first, second = torch.triu_indices(n, n, 1, device=like.device)
        eye = torch.eye(n, dtype=like.dtype, device=like.device)
        self.minus, self.plus = eye[first] - eye[second], eye[first] + eye[second]

    def differences(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "pairs ..."]:
        return _product(self.minus, x)

    def sums(self, h: Float[Tensor, "n ..."]) -> Float[Tensor, "pairs ..."]:
        return _product(self.plus, h)

    def averaged(self, messages: Float[Tensor, "pairs ..."]) -> Float[Tensor, "n ..."]:
        """Over the pairs of each particle; what both particles of a pair get."""
        return _product(self.plus.T / self.plus.shape[1], messages)

    def pulled(self, vectors: Float[Tensor, "pairs ..."]) -> Float[Tensor, "n ..."]:
        """Over the pairs of each particle; what the first particle gets, and the second the opposite of."""
        return _product(self.minus.T / self.minus.shape[1], vectors)


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x.flatten(1)).unflatten(1, x.shape[1:])


class ParticlesLayer(nn.Module):
    """One round: messages, vectors, features, positions."""

    def __init__(self, config: ParticleNetworkConfig, radial: int) -> None:
        super().__init__()
        width, vectors = config.width, config.vectors
        self.norm = nn.LayerNorm(width)
        self.ends, self.distance = nn.Linear(width, width), nn.Linear(radial, width, bias=False)
        self.message, self.pull = nn.Linear(width, width), nn.Linear(width, vectors)
        self.own, self.heard = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.lengths = nn.Linear(vectors, width, bias=False)
        self.out, self.gates = nn.Linear(width, width), zeroed(nn.Linear(width, vectors))

    def forward(self, x: Tensor, h: Tensor, radial: nn.Module, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Positions x (n, batch, d) and features h (n, batch, width), after the round.

        Args:
            radial: distances between the particles, encoded.
            pairs: which pairs exist.
        """
        differences = pairs.differences(x)
        distances = (differences.square().sum(-1) + 1e-6).sqrt()  # particles that coincide must have a gradient
        features = self.norm(h)
        message = F.silu(pairs.sums(self.ends(features)) + self.distance(radial(distances)))
        message = F.silu(self.message(message))
        unit = differences / (distances + 1)[..., None]
        vectors = pairs.pulled(self.pull(message)[..., None] * unit[..., None, :])
        update = self.own(features) + self.heard(pairs.averaged(message)) + self.lengths(vectors.square().sum(-1))
        h = h + self.out(F.silu(update))
        return x + (self.gates(h)[..., None] * vectors).sum(-2), h


class ParticleNetwork(nn.Module):
    """Positions (batch, n, d), at unit variance → how they move, of the same shape and without a centre of mass.

    Times are (batch,); conditions are not looked at.

    Args:
        config: its size.
        kinds: a number a particle, where not all are alike.
    """

    kinds: Tensor

    def __init__(self, config: ParticleNetworkConfig, kinds: Sequence[int] = ()) -> None:
        super().__init__()
        self.time = TimeEmbedding(config.width)
        self.radial = RadialBasis(config.radial, config.reach)
        self.layers = nn.ModuleList(ParticlesLayer(config, self.radial.features) for _ in range(config.layers))
        self.scale = zeroed(nn.Linear(config.width, 1))
        names = sorted(set(kinds))
        self.register_buffer("kinds", torch.tensor([names.index(kind) for kind in kinds]).long(), persistent=False)
        self.names = nn.Embedding(len(names), config.width) if names else None

    def forward(
        self, x: Float[Tensor, "batch n d"], t: Float[Tensor, " batch"], condition: Mapping[str, Tensor]
    ) -> Float[Tensor, "batch n d"]:
        start = (x - x.mean(1, keepdim=True)).transpose(0, 1).contiguous()
        pairs = Pairs(len(start), start)
        embedding = F.silu(self.time(t))
        h = embedding.expand(len(start), -1, -1)
        if self.names is not None:
            h = h + self.names(self.kinds)[:, None]
        now = start
        for layer in self.layers:
            now, h = layer(now, h, self.radial, pairs)
        moved = now - start + self.scale(embedding) * start
        return (moved - moved.mean(0)).transpose(0, 1)
