"""Random numbers are uniform, independent along every axis that names them, and pure functions of their names."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from ornstein.keys import Keys
from worlds import rejected

N = 4000
Of = Callable[[int, "int | range"], Keys]


def additive(seed: int, samples: int | range) -> Keys:
    """A broken twin: neighbouring seeds share the keys of all samples but one."""
    samples = range(samples) if isinstance(samples, int) else samples
    return Keys(torch.tensor(list(samples)) + seed)


def counted(seed: int, samples: int | range) -> Keys:
    """A broken twin: the keys are the counters of one stream, so that a sample's elements are its neighbour's."""
    gamma = Keys.of(seed, 1).key + 0x1E3779B97F4A7C15
    samples = range(samples) if isinstance(samples, int) else samples
    return Keys(gamma + torch.tensor(list(samples)) * (0x9E3779B97F4A7C15 - (1 << 64)))


def assert_uniform(u: Tensor) -> None:
    """A Kolmogorov–Smirnov test against the uniform law on (0, 1)."""
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.001


def assert_independent(u: Tensor, v: Tensor) -> None:
    """A χ² test of the pairs (u, v) on an 8 × 8 grid."""
    cells = (u.flatten() * 8).long() * 8 + (v.flatten() * 8).long()
    counts = torch.bincount(cells, minlength=64)
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def assert_distinct(of: Of) -> None:
    """No two samples of sixteen neighbouring seeds have one key, in any of three streams."""
    keys = [of(seed, 200) for seed in range(16)]
    every = torch.cat([k.key for k in keys] + [k.fold(j).key for k in keys for j in (0, 1, "prior")])
    assert len(every.unique()) == len(every)


def assert_neighbours_independent(of: Of) -> None:
    """Neighbouring samples, elements, steps and seeds, straight and diagonally."""
    u, other = of(7, N).uniform(3), of(8, N).uniform(3)
    folds = [of(7, N).fold(step).uniform(3) for step in (0, 1)]
    pairs = [
        (u[1:], u[:-1]),
        (u[:, 1:], u[:, :-1]),
        (u[1:, :-1], u[:-1, 1:]),
        (u, other),
        (u[1:], other[:-1]),
        (folds[0], folds[1]),
        (folds[0][1:], folds[1][:-1]),
        (u, folds[0]),
    ]
    for one, two in pairs:
        assert_independent(one, two)


def test_numbers_are_uniform_over_samples_elements_steps_and_seeds() -> None:
    assert_uniform(Keys.of(3, N).uniform())
    assert_uniform(Keys.of(3, 1).uniform(N))
    assert_uniform(torch.cat([Keys.of(3, 1).fold(step).uniform() for step in range(N)]))
    assert_uniform(torch.cat([Keys.of(seed, 1).uniform() for seed in range(N)]))


def test_uniformity_test_rejects_a_slight_bend() -> None:
    rejected(assert_uniform, Keys.of(3, N).uniform() ** 1.1)


def test_neighbours_are_independent() -> None:
    assert_neighbours_independent(Keys.of)


def test_keys_are_distinct() -> None:
    assert_distinct(Keys.of)


@pytest.mark.parametrize("broken", [additive, counted])
def test_independence_test_rejects_keys_without_mixing(broken: Of) -> None:
    rejected(assert_neighbours_independent, broken)


def test_distinctness_test_rejects_added_seeds() -> None:
    rejected(assert_distinct, additive)


def test_every_bit_is_fair() -> None:
    bits = Keys.of(5, N).bits()
    ones = torch.stack([((bits >> k) & 1).double().mean() for k in range(64)])
    assert ((ones - 0.5).abs() < 4.5 * 0.5 / N**0.5).all()


def test_normal_numbers_are_normal() -> None:
    assert stats.kstest(Keys.of(3, N).normal(2).flatten().numpy(), "norm").pvalue > 0.001


seeds = st.integers(min_value=-(2**63), max_value=2**64 - 1)
steps = st.integers(min_value=0, max_value=2**40)


@given(seeds, st.lists(st.integers(0, 2**62), min_size=1, max_size=8), steps)
def test_a_sample_is_the_same_in_any_batch(seed: int, samples: list[int], step: int) -> None:
    together = Keys.of(seed, samples).fold(step).uniform(3)
    alone = torch.cat([Keys.of(seed, [i]).fold(step).uniform(3) for i in samples])
    assert together.equal(alone)


@given(seeds, steps)
def test_numbers_lie_strictly_inside_the_unit_interval(seed: int, step: int) -> None:
    u = Keys.of(seed, 4).fold(step).uniform(5)
    assert ((u > 0) & (u < 1)).all()
    assert u.dtype == torch.float64


@given(seeds)
def test_chunks_join_to_the_whole(seed: int) -> None:
    chunks = [Keys.of(seed, range(a, b)).normal(2) for a, b in pairwise((0, 3, 4, 9))]
    assert torch.cat(chunks).equal(Keys.of(seed, 9).normal(2))


def test_a_longer_stream_begins_with_the_shorter() -> None:
    keys = Keys.of(1, 3)
    assert keys.uniform(10)[:, :4].equal(keys.uniform(4))
    assert keys.uniform(2, 5).equal(keys.uniform(10).reshape(3, 2, 5))


def test_indexing_takes_samples() -> None:
    keys = Keys.of(1, 6)
    assert len(keys[2:5]) == 3
    assert keys[2:5].uniform(2).equal(keys.uniform(2)[2:5])


def test_words_and_numbers_name_different_streams() -> None:
    keys = Keys.of(0, 1)
    names = ["prior", "steps", "noise", 0, 1, 2]
    assert len({int(keys.fold(name).key) for name in names}) == len(names)
