"""Clusters of similar records, and the split that keeps them whole.

The records of a family descend from one another: split at random, most held-out records have a near copy among the
training records, and a model that only remembers looks as if it had learnt. So records are split such that no held-out
record is as similar as a threshold to a training record: two records at least that similar are in one cluster (single
linkage), and clusters stay whole.

Records are rows of tokens. The identity of two of one length is the share of equal tokens among the columns in which
not both have a gap. Records of unequal lengths have the length of their longest common subsequence over that of the
longer: no global alignment gives them more. It is exact, for all pairs, bit-parallel (Hyyrö 2004): some seconds for
5,000 records of 100 tokens, half a second for two of 50,000, and n² of it for n records. What will take longer than
`PATIENCE` is said before.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from ..events import tell
from ..keys import Keys

PATIENCE = 60.0
"""Seconds."""

_Links = Iterator[tuple[int, np.ndarray]]
"""Each record, and others that are as similar to it as the threshold; each pair once."""


def clustered(
    x: Int64[Tensor, "n length"],
    size: int,
    threshold: float,
    gap: int = -1,
    mask: Bool[Tensor, "n length"] | None = None,
) -> Int64[Tensor, " n"]:
    """The cluster of each record: the number of one of its records.

    Args:
        size: how many tokens there are, the gap included.
        threshold: records at least this identical are in one cluster.
        gap: the token that is a gap; −1, which none is, if there are none.
        mask: what is not padding, which comes last; None if all records have one length.
        x: records to cluster, as codes, (n, length).
    """
    labels = np.arange(len(x))
    links = _column_links(x, size, threshold, gap) if mask is None else _subsequence_links(x, size, threshold, mask)
    for k, (record, similar) in enumerate(links, 1):
        tell(k, len(x), "clusters of similar records")
        others = np.unique(labels[similar])
        others = others[others != labels[record]]
        if len(others):
            labels[np.isin(labels, others)] = labels[record]
    return torch.from_numpy(labels)


def split(clusters: Int64[Tensor, " n"], families: Sequence[str], share: float) -> Bool[Tensor, " n"]:
    """What is held out: whole clusters of each family, in a fixed shuffle, as many as fit in the share of its records.

    If none fits it is the smallest. A family that is one cluster is for training alone; a cluster of several families
    counts for its first record's.
    """
    held_out = np.zeros(len(clusters), dtype=bool)
    numbers, first, sizes = np.unique(clusters.numpy(), return_index=True, return_counts=True)
    order = Keys.of(0, 1).bits(len(numbers))[0].argsort().numpy()
    of = np.array(families)[first]
    for family in sorted(set(of)):
        members = order[of[order] == family]
        if len(members) > 1:
            held_out |= np.isin(clusters.numpy(), numbers[_fitting(members, sizes, share)])
    return torch.from_numpy(held_out)


def _fitting(members: np.ndarray, sizes: np.ndarray, share: float) -> list[int]:
    taken: list[int] = []
    room = share * sizes[members].sum()
    for member in members.tolist():
        if sizes[member] <= room:
            taken.append(member)
            room -= sizes[member]
    return taken or [int(members[sizes[members].argmin()])]


# Records of one length ------------------------------------------------------------------------------


def identities(
    a: Int64[Tensor, "n length"], b: Int64[Tensor, "m length"], size: int, gap: int = -1, block: int = 2048
) -> Float[Tensor, "n m"]:
    """The share of equal tokens among the columns in which not both records have a gap; −1 = there are no gaps.

    Args:
        b: second set of records, as codes, (m, length).
        size: number of different letters.
        block: rows compared at once.
    """
    rows = F.one_hot(a, size).float()
    return torch.cat([_block_identities(rows, F.one_hot(part, size).float(), gap) for part in b.split(block)], 1)


def _block_identities(a: Tensor, b: Tensor, gap: int) -> Tensor:
    equal = a.flatten(1) @ b.flatten(1).T
    gaps = a[..., gap] @ b[..., gap].T if gap >= 0 else torch.zeros_like(equal)
    return (equal - gaps) / (a.shape[1] - gaps).clamp(min=1)


def _column_links(x: Tensor, size: int, threshold: float, gap: int, block: int = 256) -> _Links:
    _say(len(x), len(x) ** 2 * x.shape[1] * size / 2e10)
    for start in range(0, len(x), block):
        rows = identities(x[start : start + block], x[start:], size, gap)
        for row, similar in enumerate((rows >= threshold).numpy()):
            yield start + row, start + row + 1 + similar[row + 1 :].nonzero()[0]


# Records of unequal lengths -------------------------------------------------------------------------


def _subsequence_links(x: Tensor, size: int, threshold: float, mask: Tensor) -> _Links:
    """Longest first: those too short to be similar to a record are the last."""
    lengths = mask.sum(1)
    order = lengths.argsort(descending=True, stable=True).numpy()
    lengths = lengths.numpy()[order]
    ordered = x.where(mask, size)[order].T.contiguous().T  # column after column, as `common` reads it
    ends = np.searchsorted(-lengths, -threshold * lengths + 1e-9, side="right")
    _warn(lengths, ends)
    for place, length in enumerate(lengths[:-1].tolist()):
        others, longest = ordered[place + 1 : ends[place]], int(lengths[place + 1])
        equal = common(ordered[place, :length], others[:, :longest], size).numpy()
        yield order[place], order[place + 1 : ends[place]][equal >= threshold * length - 1e-9]


def _warn(lengths: np.ndarray, ends: np.ndarray) -> None:
    """Says how long it will take: seconds of one core, by the tokens and the words of 63 bits that are compared."""
    sums = np.concatenate([[0], lengths.cumsum()])
    tokens = sums[np.maximum(ends, np.arange(len(lengths)) + 1)] - sums[1:]
    words = lengths / 63
    _say(len(lengths), float((np.minimum(2e-8 * words, 2e-7 + 8e-9 * words) * tokens).sum()))


def _say(records: int, seconds: float) -> None:
    if seconds > PATIENCE:
        warnings.warn(
            f"comparing {records:,} records with one another takes about {seconds / 60:.0f} min of one core; fewer "
            "or shorter records take less",
            stacklevel=2,
        )


def common(record: Int64[Tensor, " length"], others: Int64[Tensor, "n longest"], size: int) -> Int64[Tensor, " n"]:
    """The length of the longest common subsequence of a record and each of the others, which `size` pads.

    Bit i of V is 0 where the i-th token adds to the subsequence: V ← (V + (V & M)) | (V & ~M), M: where it matches.
    Many others are compared at once, with the bits in words of 63, so that a sum keeps its carry; few others of a long
    record one by one, with all bits in one number.
    """
    if len(others) < 20 * len(record) / 63:
        masks = _masks(record, size)
        return torch.tensor([_common(masks, len(record), other) for other in others.tolist()], dtype=torch.long)
    words = [_matches(part, size) for part in record.split(63)]
    full = np.uint64((1 << 63) - 1)
    rows = np.full((len(words), len(others)), full)
    for tokens in others.T.numpy():
        carry = np.zeros(len(tokens), dtype=np.uint64)
        for row, matches in zip(rows, words, strict=True):
            both = row & matches[tokens]
            total = row + both + carry
            carry = total >> np.uint64(63)
            row[:] = (total & full) | (row ^ both)
    ones = np.unpackbits(rows.view(np.uint8), axis=1).reshape(*rows.shape, 64).sum((0, 2), dtype=np.int64)
    return torch.from_numpy(63 * len(words) - ones)


def _masks(record: Tensor, size: int) -> list[int]:
    """For each token, the bits of the places of a record that have it; none for the one that pads."""
    places = np.packbits([(record == token).numpy() for token in range(size)], axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in places] + [0]


def _common(masks: Sequence[int], length: int, other: Sequence[int]) -> int:
    """The length of the longest common subsequence of the record of these masks and another one."""
    full = (1 << length) - 1
    bits = full
    for token in other:
        both = bits & masks[token]
        bits = ((bits + both) | (bits ^ both)) & full
    return length - bits.bit_count()


def _matches(tokens: Tensor, size: int) -> np.ndarray:
    """(size + 1,) for each token, the bits of the places that have it; none for the one that pads."""
    table = np.zeros(size + 1, dtype=np.uint64)
    for place, token in enumerate(tokens.tolist()):
        table[token] |= np.uint64(1 << place)
    return table
