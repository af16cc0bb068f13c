"""Two commands at one URL, and objects that go or are there already: nothing of one drawing is lost by another."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import ornstein as on
from ornstein.distributed.places import Place
from ornstein.domains.energies.task import EnergiesRequest
from ornstein.errors import Incomplete, InputError
from ornstein.tasks.requests import draw
from ornstein.tasks.samples import Samples
from ornstein.tasks.storage.reading import parts
from ornstein.tasks.storage.remote import COMPLETE, Remote

fsspec: Any = pytest.importorskip("fsspec")

DRAWN = {"seed": 0}
OTHER = {"seed": 1}


@pytest.fixture(scope="module")
def drawn() -> Samples:
    return draw(on.load("energies/gmm-40"), EnergiesRequest(), n=6, steps=2, batch_size=2)


@pytest.fixture(params=["memory", "file"])
def url(request: Any, tmp_path: Path) -> Iterator[str]:
    yield f"{request.param}://{tmp_path}/run"
    fsspec.filesystem("memory").store.clear()


def begun(url: str, samples: Samples, entered: ExitStack, **changes: Any) -> Remote:
    """A command that has found the place as it is now."""
    assert samples.origin is not None
    return entered.enter_context(Remote(url, samples.origin, range(6), **changes))


def put(there: Remote, samples: Samples, *cuts: int) -> None:
    for low, high in pairwise(cuts):
        there.note(there.shelf().put_late(samples[low:high]))


def x_of(url: str) -> torch.Tensor:
    return torch.cat([one.x for one in parts(url)])


def test_two_that_draw_the_same_harm_nothing(url: str, drawn: Samples) -> None:
    with ExitStack() as entered:
        one, other = begun(url, drawn, entered), begun(url, drawn, entered)
        one.begin(DRAWN)
        other.begin(DRAWN)
        put(one, drawn, 0, 2, 4)
        put(other, drawn, 0, 2, 6)
        put(one, drawn, 4, 6)
        other.finish()
        assert x_of(url).equal(drawn.x)
        one.finish()
        assert x_of(url).equal(drawn.x)


def test_the_second_that_draws_something_else_is_refused(url: str, drawn: Samples) -> None:
    with ExitStack() as entered:
        one, other = begun(url, drawn, entered), begun(url, drawn, entered)
        one.begin(DRAWN)
        with pytest.raises(InputError, match="drawn with seed = 0, asked for is 1") as error:
            other.begin(OTHER)
        assert error.value.__notes__ == [
            f"if nobody draws it any more, remove {url}/members.json, or choose another URL"
        ]
        put(one, drawn, 0, 2, 6)
        one.finish()
    assert x_of(url).equal(drawn.x)


def test_of_two_that_begin_in_the_same_moment_the_last_one_draws(url: str, drawn: Samples) -> None:
    """Where a protocol makes no new object in one step: the first is refused at its next shard, and in the end."""
    with ExitStack() as entered:
        one, other = begun(url, drawn, entered), begun(url, drawn, entered)
        one.begin(DRAWN)
        put(one, drawn, 0, 2, 6)
        Place(url).remove("members.json")  # as if it had not been seen
        other.begin(OTHER)
        put(other, drawn, 0, 2)
        with pytest.raises(InputError, match="something else is drawn there by now"):
            put(one, drawn, 0, 2)
        put(other, drawn, 2, 6)
        with pytest.raises(InputError, match="drawn with seed = 1, asked for is 0"):
            one.finish()
        other.finish()
        assert x_of(url).equal(drawn.x)
        assert len(Place(url).names("shards")) == 4


def test_a_new_object_is_not_written_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(url)
    assert place.put_new("deep/name", b"first")
    assert not place.put_new("deep/name", b"second")
    monkeypatch.setattr(Place, "size", lambda place, name: None)  # it was not there when this one looked
    assert not place.put_new("deep/name", b"second")
    assert place.get("deep/name") == b"first"
    files = type(place._opened()[0])
    real = files.pipe_file
    monkeypatch.setattr(files, "pipe_file", lambda files, path, data: real(files, path, data))  # knows no such step
    assert place.put_new("deep/other", b"third")
    assert place.get("deep/other") == b"third"


def test_what_is_there_is_not_written_again(url: str, drawn: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes late and is killed while it writes would cut off what was noted."""
    written = []
    real = Place.put
    monkeypatch.setattr(Place, "put", lambda place, name, data: written.append(name) or real(place, name, data))
    with ExitStack() as entered:
        there = begun(url, drawn, entered)
        there.begin(DRAWN)
        written.clear()
        put(there, drawn, 0, 2)
        put(there, replace(drawn, seconds=9.0), 0, 2)
        assert len(written) == 1
        name = written[0]
        real(Place(url), name, (Place(url).get(name) or b"")[:-1])
        put(there, drawn, 0, 2)
        assert written == [name, name]


def test_shards_that_are_gone_are_drawn_again(url: str, drawn: Samples) -> None:
    with pytest.raises(Incomplete, match="samples 0 to 1 were written and are not there any more") as error:  # noqa: PT012, SIM117
        with ExitStack() as entered:
            there = begun(url, drawn, entered)
            there.begin(DRAWN)
            put(there, drawn, 0, 2, 6)
            Place(url).remove(f"shards/{Place(url).names('shards')[0]}")
            there.finish()
    assert error.value.__notes__[0].startswith("4 of 6 samples are whole (2 to 5)")
    assert Place(url).size(COMPLETE) is None
    with ExitStack() as entered:
        there = begun(url, drawn, entered, resume=True)
        there.begin(DRAWN)
        assert not there.there(range(2))
        put(there, drawn, 0, 2)
        there.finish()
    assert x_of(url).equal(drawn.x)


def test_what_has_failed_at_once_leaves_the_place_free(url: str, drawn: Samples) -> None:
    with pytest.raises(RuntimeError), ExitStack() as entered:  # noqa: PT012
        begun(url, drawn, entered).begin(DRAWN)
        raise RuntimeError("no shard could be drawn")
    with ExitStack() as entered:
        there = begun(url, drawn, entered)
        there.begin(OTHER)
        put(there, drawn, 0, 6)
        there.finish()
    assert x_of(url).equal(drawn.x)


def test_shards_of_another_drawing_and_of_earlier_versions(url: str, drawn: Samples) -> None:
    with ExitStack() as entered:
        there = begun(url, drawn, entered)
        there.begin(DRAWN)
        put(there, drawn, 0, 2, 6)
        there.finish()
    place = Place(url)
    for name in place.names("shards"):  # an earlier version named them by their numbers alone
        place.put(f"shards/{name.rpartition('-')[0]}.safetensors", place.get(f"shards/{name}") or b"")
        place.remove(f"shards/{name}")
    assert x_of(url).equal(drawn.x)
    members = (place.get("members.json") or b"").replace(b'"seed": 0', b'"seed": 1')
    place.put("members.json", members)
    with pytest.raises(InputError, match=r"complete\.json is of another drawing than members\.json"):
        list(parts(url))
