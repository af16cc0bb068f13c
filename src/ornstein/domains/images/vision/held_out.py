"""Captions that no training picture has, and what is found of pictures drawn for them.

A picture is right at rank k if its caption is among the k that a judge finds most fitting. Only the held-out captions
compete: a judge that has learned the others prefers them, whatever a picture shows. Pictures of one caption succeed and
fail together, so that the standard error of a share h̄ of n pictures is that of sums over C captions (Liang & Zeger
1986),

    se² = C/(C − 1) Σ_c (Σ_{i of c} (h_i − h̄))² / n²
"""

from collections.abc import Hashable, Iterable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

ARTICLES = ("a ", "an ", "the ")


def plain(caption: str) -> str:
    """The caption whatever its case, and without an article: what makes two captions the same."""
    text = " ".join(caption.casefold().split())
    return next((text.removeprefix(article) for article in ARTICLES if text.startswith(article)), text)


def unlearned(captions: Iterable[str], learned: Iterable[str]) -> list[str]:
    """Those of the captions that none of the learned ones is, each once, in the order of the alphabet."""
    known = {plain(caption) for caption in learned}
    return sorted({caption for caption in captions if plain(caption) not in known})


def among_first(ranks: Int[Tensor, " n"], said: Sequence[Hashable], k: int) -> tuple[float, float | None]:
    """R@k, the share h̄ of pictures at ranks below k, and its standard error; none for pictures of one caption.

    Args:
        ranks: of the caption of each picture, 0 = found first.
        said: the caption of each picture, or its number.
        k: how many of the first ranks count.
    """
    place = {caption: k for k, caption in enumerate(dict.fromkeys(said))}
    hits, count = (ranks < k).double(), len(place)
    sums = torch.zeros(count, dtype=torch.float64)
    sums.index_add_(0, torch.tensor([place[caption] for caption in said]), hits - hits.mean())
    error = (sums.square().sum() * count / (count - 1)).sqrt().item() / len(hits) if count > 1 else None
    return hits.mean().item(), error
