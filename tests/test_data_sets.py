"""`ornstein data`: what a domain can make or convert, by a command that is made of a typed function of its own."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from ornstein.cli import main
from ornstein.errors import InputError
from ornstein.tasks import registry
from stacks import Stacks


def bricks(out: Path, n: int = 3, colour: Literal["red", "grey"] = "red") -> str:
    """Bricks, one a line.

    Args:
        out: the folder.
        n: how many.
        colour: of all of them.
    """
    for number in range(n):
        (out / "bricks.txt").write_text(f"{colour}\n" * (number + 1))
        if number == 5:
            raise KeyboardInterrupt
    return f"{n} bricks"


class Builders(Stacks):
    """A domain that brings data."""

    name = "builders"
    sets: ClassVar[Mapping[str, Callable[..., str]]] = {"bricks": bricks}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two domains, of which one cannot be loaded."""
    monkeypatch.chdir(tmp_path)
    points = [("absent", "no_such_module:Task"), ("builders", f"{__name__}:Builders")]
    found = [EntryPoint(name, value, "ornstein.domains") for name, value in points]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    known = (registry.domains, registry._task)
    for one in known:
        one.cache_clear()
    yield
    for one in known:
        one.cache_clear()


def ended(*words: str) -> object:
    try:
        return main(["data", *words])
    except SystemExit as stop:
        return stop.code


def test_a_set_is_made_with_the_flags_of_its_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("bricks", "--n", "2", "--colour=grey", "--out", "wall") == 0
    assert Path("wall/bricks.txt").read_text() == "grey\ngrey\n"
    assert capsys.readouterr().out == "2 bricks\nwall\n"
    assert [path.name for path in Path().iterdir()] == ["wall"]


def test_sets_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended() == 0
    assert "bricks\n    Bricks, one a line.\n" in capsys.readouterr().out
    assert ended("bricks", "--help") == 0
    said = capsys.readouterr().out
    for words in ("usage: ornstein data bricks [flags]", "--colour red|grey", "how many. (default: 3)", "(required)"):
        assert words in said
    assert ended("--help") == 0
    assert "without a name, list what there is" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["brick", "--out", "a"], "no data 'brick', did you mean 'bricks'?"),
        (["--out", "a"], "data: the name comes first, as in ornstein data"),
        (["bricks"], "data bricks needs --out PATH: the folder."),
        (["bricks", "--out", "a", "--nn", "1"], "data bricks has no flag --nn, did you mean --n INT?"),
        (["bricks", "--out", "a", "--n", "many"], "--n is 'many', expected a whole number"),
        (["bricks", "wall", "--out", "a"], "'wall' is one word too many"),
        (["bricks", "--out", "."], "exists already; choose another folder"),
        (["bricks", "--out", "/dev/null/x"], "/dev/null/x: nothing can be written in /dev/null"),
    ],
)
def test_refusals(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*words) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_nothing_is_left_of_what_was_not_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended("bricks", "--n", "8", "--out", "wall") == 3
    assert "nothing was written" in capsys.readouterr().err
    monkeypatch.setitem(Builders.sets, "bricks", failing)  # pyright: ignore[reportArgumentType]
    assert ended("bricks", "--out", "wall") == 2
    assert "expected 6 at most" in capsys.readouterr().err
    monkeypatch.setitem(Builders.sets, "bricks", reading)  # pyright: ignore[reportArgumentType]
    assert ended("bricks", "--out", "wall") == 2
    assert "clay.txt: No such file or directory" in capsys.readouterr().err
    assert not list(Path().iterdir())


def failing(out: Path) -> str:
    """Bricks that run out."""
    (out / "bricks.txt").write_text("red\n")
    raise InputError("n is more than there are, expected 6 at most")


def reading(out: Path) -> str:
    """Bricks of clay that is not there."""
    return Path("clay.txt").read_text()
