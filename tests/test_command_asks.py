"""Requests from a file: every line is checked by the command line's table of flags before anything is drawn."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ornstein.cli import main
from ornstein.commands.asks import checked, options_of, read_asks, unchecked
from ornstein.commands.objects import flags
from ornstein.config import SampleConfig
from ornstein.domains.images.requests import ImagesRequest
from ornstein.domains.images.stored import PictureStore
from ornstein.domains.images.task import Images
from ornstein.errors import InputError
from ornstein.files import read_json
from ornstein.tasks.parallel.outcomes import Ask, Refused
from ornstein.tasks.registry import domains, task


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Images, "figures", lambda self, samples: [])


def read(*lines: Any, asked: Any = None, how: SampleConfig = SampleConfig()) -> list[Ask | Refused]:  # noqa: B008
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    Path("asks.jsonl").write_text(text, encoding="utf-8")
    return list(read_asks(Path("asks.jsonl"), task("images"), asked or unchecked(ImagesRequest)(), how))


def test_a_line_is_what_its_words_are_on_the_command_line() -> None:
    found = read(
        {"name": "three", "label": 3, "n": 4, "batch-size": 2},
        "",
        {"label": [1, "2"], "seed": 7, "trajectory": True, "steps": None},
        asked=unchecked(ImagesRequest)(guidance=2.0),
        how=SampleConfig(steps=5, seed=1),
    )
    usual = {"first": 0, "exact": "off", "steps": 5}
    assert found == [
        Ask("three", ImagesRequest(label=(3,), guidance=2.0), {**usual, "seed": 1, "n": 4, "batch_size": 2}, 1),
        Ask("00003", ImagesRequest(label=(1, 2), guidance=2.0), {**usual, "seed": 7, "trajectory": True}, 3),
    ]
    assert type(found[0].asked) is ImagesRequest  # pyright: ignore[reportAttributeAccessIssue]


def test_flags_of_the_command_line_may_need_those_of_a_line() -> None:
    Path("seen.png").touch()
    asked = unchecked(ImagesRequest)(noise=0.1, operator="blur")
    found = read({"observation": "seen.png"}, {"label": 3}, {"observation": "seen.png", "noise": 0}, asked=asked)
    assert isinstance(found[0], Ask)
    assert found[0].asked == ImagesRequest(observation=Path("seen.png"), noise=0.1, operator="blur")
    assert [str(one.error) for one in found[1:] if isinstance(one, Refused)] == [
        "--operator is for --observation: give it, too",
        "--noise 0 holds pixels exactly; through a blur, blocks or rays give the noise there was",
    ]
    with pytest.raises(InputError, match="--operator is for --observation"):
        checked(asked, ImagesRequest)
    assert main(["sample", "images/digits", "--operator", "blur", "--out", "out"]) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "the line is not valid JSON"),
        ("[1]", "the line is a list, expected a JSON object of flags"),
        ('{"n": 1, "n": 2}', "the line says 'n' twice"),
        ('{"batch_size": 1, "batch-size": 2}', "--batch-size is said twice"),
        ('{"n": NaN}', "the line holds NaN, which is not JSON"),
        ('{"lable": 3}', "sample has no flag --lable, did you mean --label INT|TEXT ...?"),
        ('{"n": "many"}', "--n is 'many', expected a whole number"),
        ('{"n": 0}', "n is 0, expected a number in [1, 1e15)"),
        ('{"n": [3, 4]}', "'4' is one word too many"),
        ('{"trajectory": "yes"}', "--trajectory is a switch and takes no value"),
        ('{"noise": 0.1}', "--noise is for --observation: give it, too"),
        ('{"observation": "gone.png"}', "--observation is gone.png, which is not there"),
        ('{"device": "cpu"}', "--device is for the command line: the model is loaded once"),
        ('{"out": "x"}', "--out is for the command line"),
        ('{"resume": true}', "--resume is for the command line: it holds for all requests"),
        ('{"requests": "x"}', "--requests is for the command line"),
        ('{"name": "../x"}', "name is '../x', expected that of a folder"),
        ('{"name": 3}', "name is 3, expected that of a folder"),
        ('{"name": "good"}', "name is 'good', as in line 1: names must differ"),
        ('{"name": "00001", "n": "x"}', "--n is 'x'"),
    ],
)
def test_a_bad_line_is_refused_and_the_others_are_not(line: str, said: str) -> None:
    first, bad, last = read({"name": "good"}, line, {})
    assert isinstance(first, Ask)
    assert isinstance(last, Ask)
    assert isinstance(bad, Refused)
    assert said in bad.error
    assert bad.line == 2


def test_bytes_that_are_no_text_are_one_bad_line() -> None:
    Path("asks.jsonl").write_bytes(b'\xef\xbb\xbf{"n": 1}\r\n{"negative": "\xff"}\n{}\n')
    found = list(read_asks(Path("asks.jsonl"), task("images"), unchecked(ImagesRequest)(), SampleConfig()))
    assert [type(one) for one in found] == [Ask, Refused, Ask]


@pytest.mark.parametrize("domain", list(domains()))
def test_no_domain_has_a_flag_that_a_line_says_otherwise(domain: str) -> None:
    kind = task(domain).request_type
    assert not {"name", "requests", "out"} & {flag.path[-1] for flag in flags(task(domain))}
    assert checked(unchecked(kind)(), kind) == kind()
    assert unchecked(kind).__doc__ == kind.__doc__


def test_options_are_those_that_were_said() -> None:
    assert options_of(SampleConfig(n=3, device="cpu")) == {"n": 3, "first": 0, "seed": 0, "exact": "off"}


# The command ------------------------------------------------------------------------------------------


def drawn(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["sample", "images/digits", "--requests", "asks.jsonl", "--out", "out", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_file_of_requests_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.png").write_text("no picture")
    lines = [{"name": "three", "label": 3}, {"lable": 3}, {"name": "scan", "observation": "bad.png"}]
    Path("asks.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, out, err = drawn(["--n", "2", "--steps", "2"], capsys)
    assert (code, out) == (3, "")
    assert err.splitlines() == [
        "ornstein: asks.jsonl: line 2: sample has no flag --lable, did you mean --label INT|TEXT ...?",
        "ornstein: asks.jsonl: line 3 (scan): bad.png: not a readable picture (cannot identify image file 'bad.png')",
        "ornstein: out: 1 of 3 requests are done, not those of lines 2, 3; out/requests.json says why, and the same "
        "command with --resume tries them again",
    ]
    assert main(["sample", "images/digits", "--label", "3", "--n", "2", "--steps", "2", "--out", "alone"]) == 0
    capsys.readouterr()
    manifests = [read_json(Path(name) / "manifest.json", "a manifest")["files"] for name in ("alone", "out/three")]
    assert manifests[0] == manifests[1]
    Path("asks.jsonl").write_text("\n".join(map(json.dumps, [lines[0], {"label": 4}, {"name": "scan"}])))
    code, out, err = drawn(["--n", "2", "--steps", "2", "--resume"], capsys)
    assert (code, out, err) == (0, "3 requests are done\nout\n", "")
    assert sorted(path.name for path in Path("out").iterdir()) == ["00002", "requests.json", "scan", "three"]
    code, out, err = drawn([], capsys)
    assert code == 2
    assert "out: begun already, 3 of 3 requests are done; --resume" in err


def test_a_file_without_a_request_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn([], capsys)[0] == 2
    Path("asks.jsonl").write_text("\n\n")
    assert drawn([], capsys) == (2, "", "ornstein: asks.jsonl: empty, expected a JSON object of flags a line\n")
    Path("asks.jsonl").write_text('{"lable": 3}\n' * 12)
    code, out, err = drawn([], capsys)
    assert (code, out) == (2, "")
    assert err.startswith(
        "ornstein: asks.jsonl: none of 12 requests can be drawn\nasks.jsonl: line 1: sample has no flag"
    )
    assert err.endswith("asks.jsonl: 2 other lines are no requests either\n")
    assert [path.name for path in Path().iterdir()] == ["asks.jsonl"]
    code, out, err = drawn(["--on", "dask", "--shard", "8"], capsys)
    assert code == 2
    assert "--shard is of the samples of one request" in err


def test_who_stops_it_is_told_what_is_done(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("asks.jsonl").write_text('{"seed": 0}\n{"seed": 1}\n{"seed": 2}')
    written = []

    def stopped(self: PictureStore, samples: Any) -> None:
        written.append(self.folder)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, samples)

    write = PictureStore.write
    monkeypatch.setattr(PictureStore, "write", stopped)
    code, out, err = drawn(["--n", "1", "--steps", "1"], capsys)
    said = "ornstein: stopped; 1 of 3 requests are done in out; the same command with --resume draws the rest\n"
    assert (code, out, err) == (3, "", said)
    assert drawn(["--n", "1", "--steps", "1", "--resume"], capsys) == (0, "3 requests are done\nout\n", "")


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[1] / "docs" / "commands.md").read_text()
    text = text[text.index("## Many requests") : text.index("## From a checkout")]
    lines, command, python = re.findall(r"```(?:json|python)?\n(.*?)```", text, re.DOTALL)
    Path("asks.jsonl").write_text(lines)
    assert main(shlex.split(command)[1:]) == 3
    said = capsys.readouterr().err
    assert re.findall(r"here `(.*?)`", text)[0] in said
    assert "3 of 4 requests are done, not those of line 3" in said
    assert sorted(path.name for path in Path("asked").iterdir()) == ["00004", "both", "requests.json", "threes"]
    exec(python, {})
    assert capsys.readouterr().out == "[('class-0', 'done'), ('class-1', 'done'), ('class-2', 'done')]\n"
