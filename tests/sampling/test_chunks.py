"""Populations whose particles go through the network in chunks: the same as those that go at once."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from ornstein.effort import Effort
from ornstein.errors import InputError
from ornstein.guidance.factors import Energy
from ornstein.keys import Keys
from ornstein.sampling.particles import Particles
from ornstein.sampling.sampler import Sampler
from ornstein.tasks import engines
from ornstein.tasks.drawing import sample
from ornstein.tasks.samples import Samples
from populated import WORLDS, assert_same, letters
from worlds import anisotropic, rejected


@cache
def at_once(world: Callable[..., Samples]) -> Samples:
    """The population of a world whose particles all go through the network together."""
    return world()


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_chunks_are_the_population(world: Callable[..., Samples]) -> None:
    assert_same(world(batch_size=7), at_once(world))


def test_a_chunk_of_all_is_no_chunk() -> None:
    assert letters(batch_size=100).x.equal(at_once(letters).x)


class Repeated(Particles):
    """A broken twin: every chunk takes the random numbers of the first."""

    def _chunks(self, *args: Any, **options: Any) -> Any:
        first, *others = super()._chunks(*args, **options)
        return [first, *(replace(one, keys=first.keys[: len(one.keys)]) for one in others)]


def test_the_test_rejects_chunks_that_share_their_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = at_once(letters)
    monkeypatch.setattr(engines, "Particles", Repeated)
    rejected(assert_same, letters(batch_size=7), whole)


def test_no_more_than_a_chunk_is_at_work() -> None:
    seen: set[int] = set()

    def spied(x: torch.Tensor) -> torch.Tensor:
        seen.add(len(x))
        return x[:, 0]

    options: Any = {"exact": "particles", "particles": 20}
    sample(anisotropic() & Energy(spied), 4, 3, **options, batch_size=8)
    assert seen == {8, 4}
    sample(anisotropic() & Energy(spied), 4, 3, **options)
    assert seen == {8, 4, 20}


def test_what_chunks_took_is_told_of_each_sample() -> None:
    solved = torch.tensor([0.0, 0.5], dtype=torch.float64)
    parts = [Effort(3, solved, torch.tensor([0, 1])), Effort(5, 0.0, 0)]
    whole = Effort.joined(parts, [2, 1])
    assert isinstance(whole.gradients, torch.Tensor)
    assert whole.gradients.tolist() == [3, 3, 5]
    assert whole.doubt is None
    assert "1 of 3 samples" in whole.notes[0]
    assert Effort.joined([Effort(3), Effort(3)], [2, 1]) == Effort(3)


def test_chunks_are_at_one_time() -> None:
    walk = Sampler([torch.ones(4), torch.zeros(4)], (Particles(batch_size=2),))
    with pytest.raises(InputError, match="batch_size: particles in chunks are at one time"):
        walk.run(anisotropic(), Keys.of(0, 4))
    with pytest.raises(InputError, match="batch_size"):
        sample(anisotropic(), 4, 3, exact="particles", batch_size=0)
