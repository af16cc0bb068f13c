"""The file of scores beside samples or a model: a row for every time that they were measured."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..distributed.places import Place
from ..errors import InputError
from ..files import NUMBER, SMALL, number, own, parse_json, plain, read_json, require, write_json
from .figures import Metric

SCORES = "scores.json"

METRIC = {
    "name": str,
    "value": (*NUMBER, None),
    "better": ("higher", "lower", "closer"),
    "meaning": str,
    "reference?": NUMBER,
    "reference_name?": str,
    "error?": NUMBER,
    "reference_error?": NUMBER,
}
"""What scores.json says of a score."""


def append_metrics(folder: Path, metrics: Sequence[Metric]) -> None:
    """Adds what was measured just now to scores.json in a folder."""
    path = own(folder, SCORES)
    rows = read_json(path, _EARLIER, [dict]) if path.exists() else []
    write_json(path, [*rows, _row(metrics)])


def append_metrics_at(place: Place, metrics: Sequence[Metric]) -> None:
    """Adds what was measured just now to scores.json at a URL."""
    data, where = place.get(SCORES, SMALL), f"{place}/{SCORES}"
    rows = [] if data is None else require(parse_json(data.decode("utf-8", "replace"), where, _EARLIER), [dict], where)
    place.put(SCORES, json.dumps(plain([*rows, _row(metrics)]), indent=1).encode())


_EARLIER = "earlier scores"


def _row(metrics: Sequence[Metric]) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"created": created, "scores": [vars(row) for row in metrics]}


def latest_metrics(folder: Path) -> list[Metric]:
    """The scores last written in a folder of samples or beside a shipped model; none if there are none."""
    path = own(folder, SCORES)
    if not path.exists():
        return []
    rows = read_json(path, "what `ornstein evaluate` writes", [{"scores": [METRIC]}])
    if not rows:
        raise InputError(f"{path}: is empty, expected the scores that `ornstein evaluate` writes")
    return [_metric(row) for row in rows[-1]["scores"]]


def _metric(row: Mapping[str, Any]) -> Metric:
    known = {name: number(row[name]) for name in ("reference", "error", "reference_error") if row.get(name) is not None}
    name = row.get("reference_name") or "real data"
    return Metric(row["name"], number(row["value"]), row["better"], row["meaning"], reference_name=name, **known)
