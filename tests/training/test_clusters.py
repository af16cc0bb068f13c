"""Clusters are those of all pairs compared one by one, and a split takes them whole."""

import random
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from identities import GAP, assert_apart, common_length, identity
from ornstein.keys import Keys
from ornstein.training import clusters
from ornstein.training.clusters import clustered, common, identities, split
from worlds import rejected

SIZE = 21


def drawn(n: int, size: int = GAP, shortest: int = 30, longest: int = 30, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [rng.choices(range(size), k=rng.randint(shortest, longest)) for _ in range(n)]


def varied(records: Sequence[list[int]], copies: int, share: float) -> list[list[int]]:
    """Copies of each record with this share of the tokens drawn anew."""
    rng = random.Random(1)
    return [[rng.randrange(GAP) if rng.random() < share else x for x in t] for t in records for _ in range(copies)]


def padded(records: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """The records in one tensor, and what is not padding."""
    longest = max(map(len, records))
    mask = torch.arange(longest) < torch.tensor([[len(record)] for record in records])
    return torch.tensor([record + [0] * (longest - len(record)) for record in records]), mask


def test_identities_are_those_of_the_columns() -> None:
    records = varied(drawn(2), 10, 0.3)
    for k, record in enumerate(records):
        record[k % 7 : k % 7 + 5] = [GAP] * 5
    expected = torch.tensor([[identity(a, b, GAP, ragged=False) for b in records] for a in records])
    x = torch.tensor(records)
    torch.testing.assert_close(identities(x, x, SIZE, GAP, block=7), expected)
    letters = torch.tensor([[identity(a, b, None, ragged=False) for b in records] for a in records])
    torch.testing.assert_close(identities(x, x, SIZE), letters)


def test_common_subsequences_are_those_of_the_recursion() -> None:
    """Up to four words of bits, and tokens that no word has."""
    records = drawn(40, 4, 1, 200)
    x, mask = padded(records)
    for record in [*drawn(6, 4, 1, 200, seed=1), *drawn(1, 3, 63, 63), *drawn(1, 3, 126, 126)]:
        found = common(torch.tensor(record), x.where(mask, 4), 4)
        assert found.tolist() == [common_length(record, other) for other in records]


SHAPES = {
    "equal": lambda k, record: record,
    "aligned": lambda k, record: [GAP] * (k % 3) + record[k % 3 :],
    "ragged": lambda k, record: record[: 30 - k % 4],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.8])
def test_clusters_are_as_large_as_they_must_be_and_no_larger(shape: str, threshold: float) -> None:
    """Ten loose clusters of ten records: their nearest neighbours are .6 to .9 identical."""
    records = [SHAPES[shape](k, record) for k, record in enumerate(varied(drawn(10), 10, 0.15))]
    random.Random(0).shuffle(records)
    ragged = shape == "ragged"
    x, mask = padded(records)

    def require_apart(labels: Sequence[int]) -> None:
        for label in set(labels):
            inside, outside = parted(records, labels, label)
            assert_apart(inside, outside, threshold, ragged=ragged)

    def require_linked(labels: Sequence[int]) -> None:
        """From one record of a cluster, steps between similar records lead to all others."""
        for label in set(labels):
            (first, *left), _ = parted(records, labels, label)
            reached = [first]
            for here in reached:
                near = [record for record in left if identity(here, record, GAP, ragged) >= threshold]
                left = [record for record in left if record not in near]
                reached += near
            assert not left

    found = clustered(x, SIZE, threshold, GAP, mask if ragged else None).tolist()
    assert all(found[number] == number for number in found)
    require_apart(found)
    require_linked(found)
    rejected(require_apart, range(100))
    rejected(require_linked, [0] * 100)


def parted(records: Sequence[list[int]], labels: Sequence[int], label: int) -> list[list[list[int]]]:
    """The records with the label, and those without it."""
    return [[r for r, k in zip(records, labels, strict=True) if (k == label) == inside] for inside in (True, False)]


def test_a_chain_of_similar_records_is_one_cluster() -> None:
    chain = torch.tensor([[0] * (10 - k) + [1] * k for k in range(11)])
    assert clustered(chain, 2, 0.9).unique().numel() == 1
    assert clustered(chain, 2, 0.95).unique().numel() == 11


def test_clusters_are_held_out_whole_and_as_many_as_fit() -> None:
    rng = random.Random(0)
    clusters = torch.tensor(rng.choices(range(60), k=400))
    families = ["ab"[number % 2] for number in clusters.tolist()]

    def require_whole(held_out: Tensor) -> None:
        assert not set(clusters[held_out].tolist()) & set(clusters[~held_out].tolist())

    held_out = split(clusters, families, 0.25)
    require_whole(held_out)
    for family in "ab":
        of = torch.tensor([name == family for name in families])
        smallest = min(clusters[of & ~held_out].unique(return_counts=True)[1].tolist())
        room = 0.25 * of.sum().item() - (held_out & of).sum().item()
        assert 0 <= room < smallest
    rejected(require_whole, held_out[torch.randperm(400, generator=torch.Generator().manual_seed(0))])


def test_if_no_cluster_fits_the_smallest_is_held_out_but_never_the_only_one() -> None:
    clusters = torch.tensor([0, 0, 0, 1, 1, 5, 5])
    assert split(clusters, ["a"] * 5 + ["b"] * 2, 0.1).tolist() == [False] * 3 + [True] * 2 + [False] * 2


@pytest.mark.parametrize("length", [1, 62, 63, 64, 400])
def test_few_others_and_many_have_the_same_common_subsequences(length: int) -> None:
    """One by one, with all bits in one number, or all at once, in words of 63."""
    keys = Keys.of(length, 300)
    x = (keys.uniform(400) * 4).long()
    record, others = x[0, :length], x[1:]
    others[:, 350:] = 4  # padded
    at_once = common(record, others, 4)
    assert torch.equal(torch.cat([common(record, other[None], 4) for other in others[:40]]), at_once[:40])
    assert common(record, record[None], 4).item() == length


def test_what_takes_minutes_is_said_before() -> None:
    lengths = np.full(400, 20_000)
    with pytest.warns(UserWarning, match=r"comparing 400 records with one another takes about \d+ min"):
        clusters._warn(lengths, np.full(400, 400))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clusters._warn(np.full(1000, 100), np.full(1000, 1000))
