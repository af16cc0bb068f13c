"""Judges of pictures: learned from real pictures alone, they say what a picture shows, and see two sets differ.

    classes     p(k | x) = softmax_k(W f(x))
    captions    p(c | x) ∝ exp(cos(W f(x), e(c)) / τ)      e(c) the direction of a caption, learned in contrast to those
                                                           of the batch (Radford et al. 2021)

Features f of two sets are compared by Fréchet's distance ‖m − m'‖² + tr(C + C' − 2 (C C')^½) (Heusel et al. 2017), and
by precision and recall: the share of drawn pictures within the k-nearest-neighbour balls of real ones, and the reverse
(Kynkäänniemi et al. 2019).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import pi
from typing import Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from ....denoisers.base import Condition
from ....denoisers.regressors import Regressor
from ....keys import Keys
from ....states import State, Times
from .captions import encoded, whole

SHARPNESS = 20.0  # 1/τ
_BATCH = 500


@dataclass(frozen=True)
class Judge(Regressor):
    """What a picture shows: a class ("label") or a caption ("caption")."""

    def losses(
        self, x0: State, t: Times, condition: Condition, keys: Keys, recall: bool | None = None
    ) -> Float[Tensor, " batch"]:
        """−log p of the right class; or of the right caption among those of the batch.

        Args:
            x0: pictures, (batch, channels, height, width).
            t: time of the noise level, 0 = data, 1 = noise: a number, (batch,), or (batch, positions).
            condition: what each sample is given, name → (batch, ...); a missing name means that nothing is said.
            keys: random keys, one a sample; they decide everything random.
            recall: not used: it believes nothing of pictures.
        """
        assert isinstance(x0, Tensor)
        _, found = self.network(altered(x0, keys))
        if self.target == "label":
            return F.cross_entropy(found.float(), condition["label"], reduction="none")
        directions = whole(condition["caption"])
        right = ((directions[:, None] - directions).abs().amax(2) < 1e-4).float()  # the same caption
        logits = SHARPNESS * F.normalize(found.float(), dim=1) @ directions.T
        return -(right / right.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1)

    @torch.no_grad()
    def see(self, x: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n width"], Float[Tensor, "n numbers"]]:
        """Features, and logits of the classes or directions of captions."""
        features, found = (torch.cat(parts) for parts in zip(*map(self.network, x.split(_BATCH)), strict=True))
        return features, found if self.target == "label" else F.normalize(found, dim=1)

    def agreement(self, x: Tensor, label: Int64[Tensor, " n"]) -> float:
        """The share of pictures that are taken for their class."""
        return float((self.see(x)[1].argmax(1) == label).double().mean())

    def ranks(
        self, x: Tensor, directions: Float[Tensor, "captions width"], right: Int64[Tensor, " n"]
    ) -> Int64[Tensor, " n"]:
        """How many captions fit each picture better than the right one does: 0 where that is found first.

        Args:
            x: pictures.
            directions: encodings of the captions, unit vectors, (captions, width).
        """
        likeness = self.see(x)[1] @ directions.T
        return (likeness > likeness.gather(1, right[:, None])).sum(1)


@dataclass(frozen=True)
class Contest:
    """Captions that compete for pictures.

    Attributes:
        judge: what finds the most fitting one.
        places: of each caption among all, by its text.
        directions: encodings of the captions, unit vectors, (captions, width).
    """

    judge: Judge
    places: Mapping[str, int]
    directions: Float[Tensor, "captions width"]

    @classmethod
    def of(cls, judge: Judge, texts: Iterable[str]) -> Self:
        """Of these captions.

        Args:
            judge: what finds the most fitting one.
            texts: the captions, each of which may be said more than once.
        """
        known = sorted(set(texts))
        some = (known[k : k + _BATCH] for k in range(0, len(known), _BATCH))
        return cls(judge, {text: k for k, text in enumerate(known)}, torch.cat([whole(encoded(part)) for part in some]))

    def __len__(self) -> int:
        return len(self.places)

    def ranks(self, x: Float[Tensor, "n c h w"], said: Sequence[str]) -> Int64[Tensor, " n"]:
        """The rank of what is said of each picture among all captions, 0 where it is found first.

        Args:
            x: pictures, from −1 (black) to 1 (white).
            said: the caption of each, one of those that compete.
        """
        right = torch.tensor([self.places[text] for text in said])
        pairs = zip(x.split(_BATCH), right.split(_BATCH), strict=True)
        return torch.cat([self.judge.ranks(part, self.directions, own) for part, own in pairs])


def altered(x: Float[Tensor, "n c h w"], keys: Keys) -> Float[Tensor, "n c h w"]:
    """Turned by up to 12°, a fifth larger or smaller, shifted by a tenth, and noised: all the same thing."""
    angle, size, *shift = (2 * keys.fold("alter").uniform(4) - 1).to(x).unbind(-1)
    cos, sin = ((pi / 15 * angle).cos(), (pi / 15 * angle).sin())
    scale = 1 + 0.2 * size
    rows = [torch.stack([scale * cos, -scale * sin, 0.1 * shift[0]], 1)]
    rows += [torch.stack([scale * sin, scale * cos, 0.1 * shift[1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return moved + 0.05 * keys.fold("alter noise").normal(*x.shape[1:]).to(x)


# Sets of features -------------------------------------------------------------------------------------


def frechet(a: Float[Tensor, "n width"], b: Float[Tensor, "m width"]) -> float:
    """Fréchet's distance of two normal distributions with the moments of a and b."""
    (mean_a, cov_a), (mean_b, cov_b) = ((x.double().mean(0), x.double().T.cov()) for x in (a, b))
    root = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root)


def covered(x: Float[Tensor, "n width"], by: Float[Tensor, "m width"], k: int = 3) -> float:
    """The share of x within a ball about some point of `by`, as wide as to its k-th neighbour there.

    The precision of drawn x by real ones, and the recall of drawn ones as what covers real x.
    """
    radius = torch.cdist(by, by).kthvalue(k + 1, 1).values
    return float((torch.cdist(x, by) <= radius).any(1).double().mean())


def within_first(ranks: Int64[Tensor, " n"], k: int) -> float:
    """R@k: the share of pictures whose caption is among the first k."""
    return float((ranks < k).double().mean())
