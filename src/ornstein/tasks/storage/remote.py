"""Samples at a URL, shard by shard: what workers put there while others are drawn, and what is read there again.

URL/members.json                      what is drawn, as in a folder of unfinished samples; written before any shard
URL/shards/FIRST-N-DRAWN.safetensors  the samples of these numbers, exactly as they were drawn; see packing.py
URL/complete.json                     in the end: the shards, with their SHA-256

Every object is written once. A shard has a seal behind it that says which samples of which drawing it holds, so that
the shards which are whole are known from the place itself, whoever was killed: one that was cut off counts as absent,
and is drawn and written again.

There is no lock at a URL, and none is needed. Two commands that draw the same into one place write the same objects.
Of two that draw something else at most one finds its own members.json there: the other is refused when it begins or,
where a protocol cannot make a new object in one step, at its next shard. Shards are named by what is drawn, so that
neither writes over, or removes, what is the other's.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from ...denoisers.base import Origin
from ...distributed.places import Place
from ...errors import Incomplete, InputError
from ...files import GB, LISTING, Within, parse_json, plain, require
from ...states import map_state
from ..samples import Samples
from .identity import digest_of, require_same
from .intervals import Intervals
from .packing import pack, unpack, without_numbers
from .shelves import Shelves
from .unfinished import MEMBERS, SCHEMA, begun, numbered, require_countable

_MOST_SAMPLES = 10**9
SHARDS, COMPLETE = "shards", "complete.json"
_SHARD = {
    "first": Within(int, 0, 10**15),
    "n": Within(int, 1, 10**9),
    "drawn": str,
    "sha256": str,
    "nfe": float,
    "gradients": float,
    "seconds?": float,
}
_COMPLETE = {"shards": [_SHARD]}
"""What complete.json says; a seal says the same of its shard, but for the time, which is another each time."""

Shard = Mapping[str, Any]
"""Which samples a shard holds, and what they took."""


@dataclass(frozen=True)
class Shelf(Shelves):
    """Where a worker puts the shards that it has drawn.

    Attributes:
        place: the URL.
        drawn: the digest of what is drawn.
    """

    place: Place
    drawn: str

    def put(self, samples: Samples) -> dict[str, Any]:
        about = {"first": samples.first, "n": len(samples), "drawn": self.drawn, "nfe": float(samples.nfe)}
        about["gradients"] = float(samples.gradients)
        with tempfile.TemporaryDirectory() as work:
            path = Path(work) / "shard.safetensors"
            pack(path, replace(samples, seconds=0.0))  # so that the same samples are the same bytes
            seal = self.place.put_sealed(_name(about), path.read_bytes(), about)
        return {**seal, "seconds": round(samples.seconds, 3)}

    def remove(self, block: Shard) -> None:
        self.place.remove(_name(block))

    def require_seen(self) -> None:
        said = read_members(self.place)
        if said is None:
            raise InputError(
                f"{self.place}: the {MEMBERS} that was written there is not seen, expected a URL that leads all "
                "workers to the same place, with the same credentials"
            )
        if digest_of(said["drawn"]) != self.drawn:
            raise InputError(f"{self.place}: something else is drawn there by now; choose another URL")


class Remote:
    """The samples of one drawing at a URL, on the side of who hands out the work; takes the place of `Kept`."""

    streams = True
    units: range | None = None

    def __init__(self, url: str, origin: Origin, numbers: range, resume: bool = False) -> None:
        """Looks at nothing yet.

        Args:
            url: of the folder.
            origin: the model.
            numbers: of all the samples.
            resume: go on with a drawing that was cut off.
        """
        self.place, self.origin, self.numbers, self.resume = Place(url), origin, numbers, resume
        self.folder = str(self.place)
        self._shards: list[Shard] = []
        self._whole = Intervals()
        self._drawn: Mapping[str, Any] = {}
        self._made = False

    def __enter__(self) -> Self:
        require_countable(self.numbers, self.place, _MOST_SAMPLES)
        said, shards = read_members(self.place), self.place.seals(SHARDS)
        if self.place.size(COMPLETE) is not None:
            raise InputError(f"{self.place}: is there already, and whole; choose another URL, or merge it")
        if self.resume and said is None:
            raise InputError(f"{self.place}: nothing to resume, there is no {MEMBERS}")
        if not self.resume and said is not None and shards:
            raise InputError(f"{self.place}: begun already, {counted(said, shards.values())}; --resume draws the rest")
        if said is None and (others := self.place.names("")):
            raise InputError(f"{self.place}: exists already, with {others[0]!r} in it; choose another URL")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._shards:
            error.add_note(f"{self.counted} in {self.place}; the same command with --resume goes on")
        elif error is not None and self._made:
            with suppress(InputError, OSError):
                if not self._there():
                    self.place.remove(MEMBERS)  # so that something else can be drawn there

    @property
    def counted(self) -> str:
        """How many samples are whole, and which, in words."""
        return counted({"n": len(self.numbers)}, self._shards)

    def begin(
        self, drawn: Mapping[str, Any], together: bool = False, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Says what is drawn, and finds which of it is there; InputError for samples that were drawn with another.

        Args:
            drawn: what the samples are a function of; see identity.py.
            together: they are not independent, of which there are no shards.
            settings: of the samples, which shards have themselves.
        """
        if together:
            raise InputError(f"{self.place}: one population is drawn into a folder, not into shards")
        self._drawn = plain(dict(drawn))
        if read_members(self.place) is None:
            said = begun(self.origin, self._drawn, self.numbers)
            self._made = self.place.put_new(MEMBERS, json.dumps(plain(said), indent=1).encode())
        self._require_mine()
        for shard in self._there():
            self.note(shard)

    def _require_mine(self) -> None:
        """InputError if members.json is not there, or is that of another drawing."""
        said = read_members(self.place)
        if said is None:
            raise InputError(f"{self.place}: {MEMBERS} is not there any more; who has removed it?")
        try:
            require_same(said["drawn"], self._drawn, self.place)
        except InputError as error:
            error.add_note(f"if nobody draws it any more, remove {self.place}/{MEMBERS}, or choose another URL")
            raise

    def _there(self) -> list[Shard]:
        """The shards of this drawing that are whole now."""
        digest = digest_of(self._drawn)
        return [one for one in self.place.seals(SHARDS).values() if is_shard(one) and one["drawn"] == digest]

    def shelf(self) -> Shelf:
        """Where workers put what they have drawn; it may be sent to them."""
        return Shelf(self.place, digest_of(self._drawn))

    def there(self, numbers: range) -> bool:
        """Whether the samples of these numbers are there, all of them that are wanted."""
        wanted = range(max(numbers.start, self.numbers.start), min(numbers.stop, self.numbers.stop))
        return self._whole.covers(wanted)

    def note(self, block: Shard) -> None:
        """Takes note of a shard that is there.

        Args:
            block: what `Shelf.put` returned.
        """
        self._shards.append(block)
        self._whole.add(range(block["first"], block["first"] + block["n"]))

    def finish(self) -> Samples:
        """Says that all samples are there, and returns them as shapes: their numbers stay where they are.

        Incomplete if some that were written are not there any more.
        """
        if not self.there(self.numbers):
            raise InputError(f"{self.place}: {self.counted}, which is not all of them")
        self._require_mine()
        shards = in_a_row(self._shards, self.numbers, self.place)
        whole = {one["sha256"] for one in self._there()}
        if lost := [one for one in shards if one["sha256"] not in whole]:
            self._shards = [one for one in self._shards if one["sha256"] in whole]
            raise Incomplete(f"{self.place}: samples {numbered(lost)} were written and are not there any more")
        self.place.put(COMPLETE, json.dumps({"shards": [dict(one) for one in shards]}, indent=1).encode())
        first = without_numbers(read_shard(self.place, shards[0]))
        n = len(self.numbers)
        x = map_state(lambda leaf: torch.empty(n, *leaf.shape[1:], dtype=leaf.dtype, device="meta"), first.x)
        took = {name: sum(one[name] * one["n"] for one in shards) / n for name in ("nfe", "gradients")}
        seconds = sum(one.get("seconds") or 0.0 for one in shards)
        return replace(first, x=x, each={}, trajectory=(), origin=self.origin, seconds=seconds, **took)


# Reading ----------------------------------------------------------------------------------------------


def read_members(place: Place) -> dict[str, Any] | None:
    """What members.json at a place says; None if it is not there. InputError for what is no such manifest."""
    return _json(place, MEMBERS, "the manifest of samples that are being drawn", SCHEMA)


def read_complete(place: Place) -> tuple[dict[str, Any], list[Shard]]:
    """What members.json says, and all shards in the order of their numbers; InputError if some are missing."""
    said = read_members(place)
    if said is None:
        raise InputError(f"{place}: no samples there, expected {MEMBERS}, which `ornstein sample --out URL` writes")
    complete = _json(place, COMPLETE, "the shards of samples", _COMPLETE)
    if complete is None:
        raise InputError(
            f"{place}: not finished, {counted(said, place.seals(SHARDS).values())}; --resume draws the rest"
        )
    digest = digest_of(said["drawn"])
    if any(one["drawn"] != digest for one in complete["shards"]):
        raise InputError(f"{place}: {COMPLETE} is of another drawing than {MEMBERS}; draw it again, to another URL")
    return said, in_a_row(complete["shards"], range(said["first"], said["first"] + said["n"]), place)


def read_shard(place: Place, shard: Shard) -> Samples:
    """The samples of a shard, but for their model; InputError if they are not those that were put there.

    Args:
        place: of all of them.
        shard: what complete.json says of it.
    """
    where = f"{place}/{_name(shard)}"
    found = place.get_sealed(_name(shard), _MOST) or place.get_sealed(_older_name(shard), _MOST)
    if found is None or found[1]["sha256"] != shard["sha256"]:
        raise InputError(
            f"{where}: is missing, or not what was written; remove it and {place}/{COMPLETE}, and the same command "
            "with --resume draws it again"
        )
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "shard.safetensors"
        path.write_bytes(found[0])
        try:
            samples = unpack(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), where)) from None
    if (samples.first, len(samples)) != (shard["first"], shard["n"]):
        raise InputError(f"{where}: holds other samples than {COMPLETE} says")
    return samples


_MOST = 4 * GB
"""Bytes of a shard."""


def _json(place: Place, name: str, expected: str, schema: Any) -> Any:
    data = place.get(name, LISTING)
    if data is None:
        return None
    where = f"{place}/{name}"
    return require(parse_json(data.decode("utf-8", "replace"), where, expected), schema, where)


def in_a_row(shards: Iterable[Shard], numbers: range, where: object) -> list[Shard]:
    """Shards that hold these numbers, each once; InputError if none do.

    Args:
        shards: in any order, maybe more than are needed.
        where: they are.
    """
    onward: dict[int, Shard] = {}  # from which numbers the last one is reached
    for one in sorted(shards, key=lambda one: (one["first"], one["n"]), reverse=True):
        end = one["first"] + one["n"]
        if end == numbers.stop or end in onward:
            onward[one["first"]] = one
    found, at = [], numbers.start
    while at in onward and at < numbers.stop:
        found.append(onward[at])
        at += onward[at]["n"]
    if at != numbers.stop:
        raise InputError(f"{where}: its shards do not hold samples {numbers.start} to {numbers.stop - 1}, each once")
    return found


def counted(said: Mapping[str, Any], shards: Iterable[Shard]) -> str:
    """How many samples are whole, and which, in words.

    Args:
        said: what members.json says.
        shards: that are there.
    """
    found = sorted((one for one in shards if is_shard(one)), key=lambda one: one["first"])
    which = f" ({numbered(found)})" if found else ""
    return f"{sum(one['n'] for one in found)} of {said['n']} samples are whole{which}"


def is_shard(seal: Mapping[str, Any]) -> bool:
    """Whether a seal is that of a shard."""
    try:
        require(seal, _SHARD, "")
    except InputError:
        return False
    return True


def _name(shard: Shard) -> str:
    return f"{SHARDS}/{shard['first']:08d}-{shard['n']}-{shard['drawn'][:12]}.safetensors"


def _older_name(shard: Shard) -> str:
    """That of earlier versions, which named shards by their numbers alone."""
    return f"{SHARDS}/{shard['first']:08d}-{shard['n']}.safetensors"
