"""Samples that are still being drawn, or whose drawing was cut off: FOLDER.part, and what its manifest says of it.

FOLDER appears whole or not at all. Until then FOLDER.part holds the samples that have finished, each block whole, and
members.json, which names them: a file that it does not name is not whole, or not yet. Every number of a sample that is
named can be read while others are drawn, and after a crash.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...disk.locks import Lock, sweep
from ...errors import InputError
from ...files import LISTING, NUMBER, Within, own, read_json

if TYPE_CHECKING:
    from ...denoisers.base import Origin  # which imports torch; the studio reads members.json without it

MEMBERS = "members.json"
WORK = "drawing"
_SUFFIX = ".part"

MOST = 5_000_000
"""Samples of one folder: of more the manifest, which names every file, may be too long to be read."""
_NUMBER = Within(int, 0, 10**15)
_COUNT = Within(int, 1, 10**9)
SCHEMA = {
    "complete": bool,
    "model": {"domain": str, "name": str, "config": dict, "facts": dict, "weights": str},
    "drawn": dict,
    "together": bool,
    "first": _NUMBER,
    "n": _COUNT,
    "blocks": [{"first": _NUMBER, "n": _COUNT, "file": str, "files": {str: str}, "seconds?": NUMBER}],
}
"""What members.json says."""


def require_countable(numbers: range, where: object, most: int = MOST) -> None:
    """InputError for more samples than can be read again together, better known before they are drawn than after.

    Args:
        numbers: of all the samples.
        where: they are to be.
        most: how many may be.
    """
    if len(numbers) > most or numbers.stop > _NUMBER.high:
        raise InputError(
            f"{where}: samples {numbers.start} to {numbers.stop - 1} are {len(numbers):,}, expected {most:,} at most, "
            f"of numbers below {_NUMBER.high:,}: draw them in several runs, with --first"
        )


def begun(origin: "Origin", drawn: Mapping[str, Any], numbers: range, together: bool = False) -> dict[str, Any]:
    """What members.json says before any sample is there.

    Args:
        origin: the model.
        drawn: what the samples are a function of; see identity.py.
        numbers: of all the samples.
        together: they are not independent, so that none is whole before all are.
    """
    said = {"complete": False, "model": origin.record(), "drawn": drawn, "together": together}
    return {**said, "first": numbers.start, "n": len(numbers), "blocks": []}


def part_of(folder: Path) -> Path:
    """Where the samples of a folder are kept until all are there."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return folder if named.name.endswith(_SUFFIX) else named.parent / f"{named.name}{_SUFFIX}"


def folder_of(part: Path) -> Path:
    """Where samples that are kept in such a folder will be."""
    return part.with_name(part.name.removesuffix(_SUFFIX))


def is_unfinished(folder: Path) -> bool:
    """Whether samples of this folder, or of what it is a part of, are kept, but not all of them."""
    return not (folder.exists() and folder != part_of(folder)) and (part_of(folder) / MEMBERS).is_file()


def read_members(part: Path) -> dict[str, Any]:
    """What members.json says; InputError if it does not say what it must, or of samples that were not asked for."""
    path = own(part, MEMBERS)
    said = read_json(path, "the manifest of samples that are being drawn", SCHEMA, limit=LISTING)
    wanted = range(said["first"], said["first"] + said["n"])
    last = wanted.start
    for block in said["blocks"]:
        if block["first"] < last or block["first"] + block["n"] > wanted.stop:
            raise InputError(
                f"{path}: field blocks has samples {block['first']} to {block['first'] + block['n'] - 1}, expected "
                f"numbers from {last} to {wanted.stop - 1}"
            )
        last = block["first"] + block["n"]
    return said


def counted(said: Mapping[str, Any]) -> str:
    """How many samples are whole, and which, in words.

    Args:
        said: what `read_members` gave.
    """
    there = sum(block["n"] for block in said["blocks"])
    which = f" ({numbered(said['blocks'])})" if there else ", which finish together" if said["together"] else ""
    return f"{there} of {said['n']} samples are whole{which}"


def numbered(blocks: Iterable[Mapping[str, Any]]) -> str:
    """The numbers of the samples of some blocks, such as 0 to 15, 24 to 31."""
    rows: list[list[int]] = []
    for block in blocks:
        if rows and rows[-1][1] == block["first"]:
            rows[-1][1] += block["n"]
        else:
            rows.append([block["first"], block["first"] + block["n"]])
    return ", ".join(f"{low} to {high - 1}" if high - low > 1 else str(low) for low, high in rows)


def what_is_left(folder: Path) -> str:
    """What there is of a folder of samples whose drawing has ended early, in words; "" if nothing is."""
    part = part_of(folder)
    if not (part / MEMBERS).is_file():
        return ""
    return f"{counted(read_members(part))} in {part}; the same command with --resume goes on"


def require_finished(folder: Path) -> None:
    """InputError for samples that are not all there: says how many are, and how to read these, or draw the rest."""
    if is_unfinished(folder):
        part = part_of(folder)
        raise InputError(
            f"{folder}: not finished, {counted(read_members(part))} in {part}: --resume (in Python resume=True) draws "
            "the rest, read_samples(..., unfinished=True) reads what is there"
        )


def require_absent(folder: Path) -> None:
    """InputError if the folder is already there: nobody's results are written over."""
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder or remove it")


def require_place(folder: Path, resume: bool, held: bool = False) -> None:
    """InputError unless samples can be drawn into a folder: it is not there, and what was begun is resumed or nothing.

    Args:
        folder: where the samples will be when all are there.
        resume: whether a drawing that was cut off is to go on.
        held: whether this process has the folder of the unfinished ones for itself already.
    """
    part = part_of(folder)
    if part == folder:
        raise InputError(f"{folder}: names that end in {_SUFFIX} are those of unfinished samples; choose another")
    if part.is_dir() and not held:
        with Lock(part, WORK):
            pass
    if resume and folder.exists():
        raise InputError(f"{folder}: is there already, and whole: nothing is left to resume")
    require_absent(folder)
    begun = (part / MEMBERS).is_file()
    if resume and not begun:
        raise InputError(f"{folder}: nothing to resume, there is no {part / MEMBERS}")
    if begun and not resume and (said := read_members(part))["blocks"]:
        raise InputError(
            f"{folder}: begun already, {counted(said)} in {part}; --resume (in Python resume=True) draws the rest, or "
            "choose another folder or remove it"
        )
    if not begun and part.is_dir():
        sweep(part)
        if any(part.iterdir()):
            raise InputError(f"{part}: exists already, with something else in it; choose another folder or remove it")
