"""Configurations: strict TOML, nearest valid names, and a round trip."""

from dataclasses import dataclass, field
from math import inf, nan
from pathlib import Path
from typing import Literal

import pytest
import torch

from ornstein import InputError
from ornstein.config import SampleConfig, TrainConfig, read_toml, to_dict, to_toml, update
from ornstein.networks import UNet, UNetConfig
from ornstein.tasks.engines import Population, engine


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
        ({"inner": 3}, "c: inner is 3, expected an object"),
        ({"inner": {"kind": "c"}}, "c: inner: kind is 'c', expected one of a, b"),
        ({"inner": {"rate": "fast"}}, "c: inner: rate is 'fast', expected a number"),
        ({"inner": {"widths": 3}}, "c: inner: widths is 3, expected a list"),
        ({"limit": True}, "c: limit is True, expected a whole number"),
        ({"limit": 1.5}, "c: limit is 1.5, expected a whole number"),
    ],
)
def test_what_is_refused(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        update(Outer(), values, "c")


def test_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.toml: not found .*, expected a configuration file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="not a file but a folder, expected a configuration file"):
        read_toml(tmp_path)
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(InputError, match=r"bad.toml: not valid TOML"):
        read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", nan),
        ("learning_rate", inf),
        ("warmup", -1),
        ("weight_decay", -0.1),
        ("clip", 0.0),
        ("clip", -1.0),
        ("clip", nan),
        ("ema", 1.0),
        ("ema", nan),
        ("min_time", 0.0),
        ("condition_dropout", 1.1),
        ("seed", 2**64),
        ("seed", -1),
        ("validate_every", 0),
        ("save_every", 0),
        ("log_every", 0),
    ],
)
def test_training_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"{name} is {value}, expected a (whole )?number( in [\[(])?"):
        update(TrainConfig(), {name: value}, "c")


def test_training_settings_at_the_edge() -> None:
    edge = {"warmup": 0, "weight_decay": 0.0, "ema": 0.0, "condition_dropout": 1.0, "seed": 2**64 - 1}
    assert update(TrainConfig(), edge, "c") == TrainConfig(**edge)


def test_an_unknown_precision() -> None:
    with pytest.raises(InputError, match="c: precision is '16', expected one of auto, 32-true, bf16-mixed"):
        update(TrainConfig(), {"precision": "16"}, "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, "network.channels is 0"),
        ({"blocks": 0}, "network.blocks is 0"),
        ({"multipliers": []}, "network.multipliers is empty"),
        ({"multipliers": [1, 0]}, "network.multipliers is 0"),
        ({"attention": [2]}, r"network.attention is 2, expected a number in \[0, 1\]"),
        ({"attention": [-1]}, r"network.attention is -1"),
        ({"channels": 50}, "the 100 channels of level 1 cannot be split into 3 heads"),
        ({"dropout": 1.0}, "network.dropout is 1.0"),
        ({"dropout": nan}, "dropout is nan, expected a number"),
    ],
)
def test_networks_that_cannot_be(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        update(UNetConfig(), change, "c")


@pytest.mark.parametrize("channels", [1, 3, 7, 36, 80])
def test_odd_widths_work(channels: int) -> None:
    UNet(UNetConfig(channels, (1,), 1, (0,)), 1)(torch.zeros(2, 1, 4, 4), torch.zeros(2), {})


@pytest.mark.parametrize(
    ("name", "value"), [("n", 0), ("steps", 0), ("eta", 3.0), ("eta", nan), ("batch_size", 0), ("batch_size", -1)]
)
def test_sampler_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}, expected a number"):
        update(SampleConfig(), {name: value}, "c")


@pytest.mark.parametrize("seed", [-1, 2**64, 2**70])
def test_a_seed_that_would_be_another_is_refused(seed: int) -> None:
    for config in (SampleConfig(), TrainConfig()):
        with pytest.raises(InputError, match=rf"seed is {seed}, expected"):
            update(config, {"seed": seed}, "c")
    assert SampleConfig(seed=2**64 - 1).seed == 2**64 - 1


def test_a_file_from_windows(tmp_path: Path) -> None:
    """Editors there begin a file with a byte order mark."""
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfname = 'x'\r\n")
    assert read_toml(tmp_path / "c.toml") == {"name": "x"}


@pytest.mark.parametrize("text", [b"a = " + b"9" * 5000, b"a = " + b"[" * 5000, b"a = '\xff'", b"\xff\xfea\x00"])
def test_no_toml(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(text)
    with pytest.raises(InputError, match=r"c\.toml: "):
        read_toml(tmp_path / "c.toml")


@dataclass(frozen=True)
class Pairs:
    pair: tuple[float, float] | None = None
    mixed: tuple[int | str, ...] = ()


def test_tuples_of_files_have_their_length_and_their_types() -> None:
    assert update(Pairs(), {"pair": [1, 2.5], "mixed": [1, "a"]}, "c") == Pairs((1.0, 2.5), (1, "a"))
    with pytest.raises(InputError, match="c: pair has 3 values, expected 2"):
        update(Pairs(), {"pair": [1, 2, 3]}, "c")


def test_a_population_needs_exactness() -> None:
    assert engine("particles", {"particles": 8}) == Population(particles=8)
    with pytest.raises(InputError, match="particles is for one population of particles"):
        engine("off", {"particles": 8})


def test_the_training_flags_are_these() -> None:
    """A list on purpose: whoever changes a flag changes users' commands."""
    assert " ".join(to_dict(TrainConfig())) == (
        "steps batch_size learning_rate decay warmup weight_decay clip ema times min_time apart condition_dropout "
        "precision device strategy start seed validate_every validate_on save_every log_every plan plan_path"
    )
