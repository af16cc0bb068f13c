"""Metrics that are damaged are named; what a crash cut short is left out."""

import json
from pathlib import Path

import pytest

from ornstein import InputError
from ornstein.training.metrics import read_metrics


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", r"line 2 is \[\], expected an object"),
        ('{"loss": 1}', "line 2: field step is not there, expected a whole number"),
        ('{"step": 1, "loss": "x"}', "line 2: field 'loss' is 'x', expected a number"),
        ("9" * 5000, "line 2: not valid JSON"),
        ("[" * 100_000, "line 2: nested too deeply"),
    ],
)
def test_metrics_that_are_none(tmp_path: Path, line: str, message: str) -> None:
    row = json.dumps({"step": 1, "loss": 2.0})
    (tmp_path / "m.jsonl").write_text(f"{row}\n{line}\n{row}\n")
    with pytest.raises(InputError, match=f"m.jsonl: {message}"):
        read_metrics(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text(f'{row}\n{{"step": 2, "lo')  # what a crash leaves
    assert read_metrics(tmp_path / "m.jsonl") == [{"step": 1, "loss": 2.0}]
    (tmp_path / "m.jsonl").write_bytes(b"\xd8\n")
    with pytest.raises(InputError, match="line 1 holds the byte 0xd8, which is not UTF-8"):
        read_metrics(tmp_path / "m.jsonl")


# The order of records and the noise levels ------------------------------------------------------------
