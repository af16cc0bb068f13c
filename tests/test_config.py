"""Configurations: strict TOML, nearest valid names, and a round trip."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from ornstein import InputError
from ornstein.config import TrainConfig, read_toml, to_dict, to_toml, update


@dataclass(frozen=True)
class Inner:
    widths: tuple[int, ...] = (1, 2)
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    name: str = "x"
    limit: int | None = None
    where: Path | None = None
    flag: bool = False
    inner: Inner = field(default_factory=Inner)


def test_round_trip_through_toml(tmp_path: Path) -> None:
    config = Outer('a "b"', 3, Path("data"), True, Inner((4, 5), 2.0, "b"))
    (tmp_path / "c.toml").write_text(to_toml(config))
    assert update(Outer(), read_toml(tmp_path / "c.toml"), "c") == config


def test_partial_update_keeps_the_rest() -> None:
    assert update(Outer(), {"inner": {"rate": 1}}, "c") == Outer(inner=Inner(rate=1.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nmae": "y"}, "c: unknown key 'nmae', did you mean 'name'"),
        ({"inner": {"widhts": [1]}}, "c: inner: unknown key 'widhts', did you mean 'widths'"),
        ({"zzz": 1}, "unknown key 'zzz'; valid: name, limit, where, flag, inner"),
        ({"inner": 3}, "inner must be a table, found 3"),
        ({"inner": {"kind": "c"}}, "c: inner: kind is 'c', expected one of a, b"),
        ({"inner": {"rate": "fast"}}, "c: inner: rate is 'fast', expected float"),
        ({"inner": {"widths": 3}}, "c: inner: widths is 3, expected a list"),
        ({"limit": True}, "c: limit is True, expected int"),
        ({"limit": 1.5}, "c: limit is 1.5, expected int"),
    ],
)
def test_what_is_refused(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        update(Outer(), values, "c")


def test_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such configuration"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(InputError, match=r"bad.toml: not valid TOML"):
        read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize("change", [{"steps": 0}, {"ema": 1.0}, {"min_time": 0.0}, {"batch_size": -1}])
def test_training_settings_out_of_range(change: dict) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        update(TrainConfig(), change, "c")


def test_the_training_flags_are_these() -> None:
    """A list on purpose: whoever changes a flag changes users' commands."""
    assert " ".join(to_dict(TrainConfig())) == (
        "steps batch_size learning_rate decay warmup weight_decay clip ema times min_time condition_dropout precision "
        "device seed validate_every save_every log_every"
    )
