"""Files made with a pointer, for a page: what lies under the pointer as JSON, and the file that the marks make."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import plain
from ...tasks.hands import Hand
from ...tasks.registry import task
from .results import data_url


def backdrop(model: Any, field: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What lies under the pointer, as JSON values; InputError if what is given is not what it must be.

    Args:
        model: a trained one.
        field: of the request, whose file is to be made.
        given: the other fields as far as they are said, with paths where these are files.
    """
    found = _hand(model, field).backdrop(given, model.origin.metadata)
    said = {name: value for name, value in vars(found).items() if name not in ("picture", "size", "marks", "columns")}
    rows = {name: [asdict(one) for one in getattr(found, name, ())] for name in ("marks", "columns")}
    width, height = found.size
    image = None if found.picture is None else data_url(found.picture)
    return plain({"image": image, "width": width, "height": height, **said, **rows})


def written(model: Any, field: str, given: Mapping[str, Any], marks: Mapping[str, Any], folder: Path) -> Path:
    """The file that the marks make; InputError for marks that make none.

    Args:
        model: a trained one.
        field: of the request, whose file is to be made.
        given: the other fields as far as they are said, with paths where these are files.
        marks: what was done, in JSON values.
        folder: an empty one.
    """
    return _hand(model, field).write(marks, given, model.origin.metadata, folder)


def _hand(model: Any, field: str) -> Hand:
    this = task(model.origin.domain)
    if field not in this.by_hand:
        known = ", ".join(this.by_hand) or "none"
        raise InputError(f"{field!r} is nothing that {this.name} has made by hand; those that are: {known}")
    return this.by_hand[field]
