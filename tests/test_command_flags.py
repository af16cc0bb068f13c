"""Flags from typed functions: every field is one, values are read without guessing, and help tells of all of them."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from ornstein import cli
from ornstein.commands.flags import documented, flags_of, parse
from ornstein.commands.manual import completion, manual
from ornstein.commands.sampling import sampling
from ornstein.errors import InputError
from ornstein.tasks.registry import domains, task


@dataclass(frozen=True)
class Inner:
    """Inner.

    Attributes:
        rate: of change, in numbers
            a second.
        deep, high: the other two.
    """

    rate: float = 0.5
    deep: int = 3
    high: int = 4

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise InputError("inner.rate is negative")


@dataclass(frozen=True)
class Outer:
    """Outer.

    Attributes:
        kind: a or b.
        pair: two numbers.
        names: words or numbers.
        place: a path.
        inner: what is within.
    """

    groups: ClassVar[dict[str, tuple[str, ...]]] = {"where": ("place",)}

    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] | None = None
    names: tuple[int | str, ...] = ()
    place: Path | None = None
    loud: bool = True
    inner: Inner = field(default_factory=Inner)


def command(model: str, /, config: Any = Outer(), *, out: Path, resume: bool = False) -> None:
    """Do it.

    Args:
        model: a name.
        config: all of it.
        out: a folder.
        resume: go on.
    """


def parsed(line: str) -> tuple[list[Any], dict[str, Any]]:
    return parse("do", command, shlex.split(line))


def test_values() -> None:
    line = "m -o x --kind b --pair -1 .5 --names 3 cat -2 --place p/q --no-loud --inner.rate=2 --inner.deep 9 --resume"
    assert parsed(line) == (
        ["m"],
        {
            "config": Outer("b", (-1.0, 0.5), (3, "cat", -2), Path("p/q"), False, Inner(2.0, 9)),
            "out": Path("x"),
            "resume": True,
        },
    )


def test_what_is_not_said_is_the_default() -> None:
    assert parsed("m --out x") == (["m"], {"config": Outer(), "out": Path("x")})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--out x", "do needs MODEL: a name."),
        ("m", "do needs --out PATH: a folder."),
        ("m -o x --kind c", "--kind is 'c', expected one of a, b"),
        ("m -o x --pair 1", r"--pair takes 2 values \(FLOAT FLOAT\), found 1"),
        ("m -o x --pair 1 two", "--pair is 'two', expected a number"),
        ("m -o x --inner.deep 1.5", "--inner.deep is '1.5', expected a whole number"),
        ("m -o x --inner.rate -1", "^inner.rate is negative$"),
        ("m -o x --inner.rat 1", "do has no flag --inner.rat, did you mean --inner.rate FLOAT?"),
        ("m -o x -k", "do has no flag -k"),
        ("m -o x --resume=no", "--resume is a switch"),
        ("m n -o x", "'n' is one word too many"),
    ],
)
def test_what_is_refused(line: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parsed(line)


def test_docstrings_say_what_a_flag_means() -> None:
    assert documented(Inner) == {
        "rate": "of change, in numbers a second.",
        "deep": "the other two.",
        "high": "the other two.",
    }


def test_help_tells_of_every_flag_once_under_its_heading() -> None:
    said = manual("ornstein do", command, ["ornstein do it"])
    assert said.startswith("usage: ornstein do MODEL [flags]\n\nDo it.\n\nExamples:\n  ornstein do it\n\n  MODEL ")
    lines = said.splitlines()
    for flag in flags_of(command):
        option = flag.option if flag.option != "--loud" else "--no-loud"
        assert sum(option in line.split() for line in lines) == 1, option
    assert lines[lines.index("Where:") + 1].split()[0] == "--place"
    assert "None" not in said


def commands_of(domain: str) -> list[tuple[str, Callable[..., Any]]]:
    this = task(domain)
    return [("sample", sampling(this.request_type)), ("train", cli._train(domain, None, this.config()))]


@pytest.mark.parametrize("domain", domains())
def test_every_flag_of_a_domain_is_explained_and_examples_are_commands(domain: str) -> None:
    for name, function in commands_of(domain):
        flags = flags_of(function)
        unexplained = [flag.option for flag in flags if not flag.text]
        assert not unexplained
        assert len({flag.option for flag in flags}) == len(flags)
        examples = [shlex.split(one) for one in task(domain).examples if one.startswith(name)]
        assert examples
        for example in examples:
            parse(name, function, example[1:])


def test_groups_name_fields() -> None:
    for domain in domains():
        request = task(domain).request_type()
        grouped = [name for names in getattr(request, "groups", {}).values() for name in names]
        assert sorted(grouped) == sorted(vars(request)), domain


def completed(script: str, *words: str) -> list[str]:
    program = (
        f'{script}\nCOMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _ornstein\necho "${{COMPREPLY[@]}}"'
    )
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_a_shell_completes_commands_models_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["complete", "bash"]) == 0
    script = capsys.readouterr().out
    assert completed(script, "ornstein", "sa") == ["sample"]
    assert completed(script, "ornstein", "sample", "mol") == ["molecules/qm9"]
    assert "molecules" in completed(script, "ornstein", "train", "mol")
    assert completed(script, "ornstein", "sample", "images/digits", "--gui") == ["--guidance"]
    assert completed(script, "ornstein", "train", "images/digits", "--train.min") == [
        "--train.minutes",
        "--train.min-time",
    ]
    assert completed(script, "ornstein", "sample", "my/run", "--gri") == ["--grid"]


def test_completion_of_other_shells_is_refused() -> None:
    with pytest.raises(InputError, match="bash and zsh"):
        completion("fish", [], {}, {})


def test_a_switch_may_be_left_unsaid_turned_on_and_turned_off() -> None:
    def draw(model: str, /, *, recalibrate: bool | None = None) -> None:
        """Draws.

        Args:
            model: of these.
            recalibrate: whether members are moved; not said = as the model says.
        """

    said = ([], ["--recalibrate"], ["--no-recalibrate"])
    assert [parse("draw", draw, ["qg", *words])[1].get("recalibrate") for words in said] == [None, True, False]
    assert "--no-recalibrate, --recalibrate" in manual("draw", draw, [])
