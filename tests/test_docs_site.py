"""The documentation's site: every public name is documented and has its place, links lead somewhere, tests exist.

`make docs` builds the site and finds more: each warning of Sphinx is an error there.
"""

import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import ornstein
from ornstein.cli import _command
from ornstein.commands.flags import parse

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("how-to/*.md")])
sys.path[:0] = [str(ROOT / "tools"), str(DOCS / "ext")]

from executed_docs import RECORDS, blocks, execute, fingerprint, record_of, tidied, with_outputs  # noqa: E402
from public_names import NAMES, lacking, referred, undocumented, unexplained  # noqa: E402


def test_every_name_of_the_package_is_in_the_reference() -> None:
    names = {f"ornstein.{name}" for name in ornstein._HOMES}
    assert sorted(names - set(referred(DOCS / "reference"))) == []


def test_the_reference_is_whole() -> None:
    assert lacking(DOCS / "reference") == []


def test_a_name_on_no_page_is_found(tmp_path: Path) -> None:
    for page in (DOCS / "reference").glob("*.rst"):
        (tmp_path / page.name).write_text(page.read_text().replace(" Heun ", " "))
    assert "ornstein.Heun" in referred(DOCS / "reference")
    assert "ornstein.Heun" not in referred(tmp_path)


def test_what_is_not_documented_is_found() -> None:
    def told(size: int, rate: float = 0.5) -> None:
        """A function of a size.

        Args:
            rate: a share.
        """

    def half(size: int, rate: float) -> None:
        """A function, and not of what."""

    def silent() -> None: ...

    @dataclass
    class Kept:
        """A thing.

        Attributes:
            width: in Å.
        """

        width: float
        depth: float

        def turned(self) -> None: ...

    assert undocumented({"told": told}) == []
    assert undocumented({"half": half}) == [
        "half: its docstring does not say what size is",
        "half: its docstring does not say what rate is",
    ]
    assert undocumented({"silent": silent}) == ["silent has no docstring"]
    assert undocumented({"Kept": Kept}) == [
        "Kept: its docstring does not say what depth is",
        "Kept.turned has no docstring",
    ]


def test_flags_without_words_are_found() -> None:
    def shown(path: str, /, size: int = 3) -> None:
        """Shows.

        Args:
            path: of a file.
        """

    assert unexplained({"shown": shown}) == ["shown: nothing says what --size is"]


def test_names_are_read_from_pages() -> None:
    assert NAMES.findall(".. names:: ornstein\n\n   Belief Joint\n   Normal\n\nText\n")[0][1].split() == [
        "Belief",
        "Joint",
        "Normal",
    ]


# Pages ------------------------------------------------------------------------------------------------


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def broken(page: Path, text: str) -> list[str]:
    """Links of a page to files that are not there, and to headings that the page they lead to does not have."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in headings(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert broken(page, page.read_text()) == []


def test_broken_links_are_found() -> None:
    text = "[a](weather.md#how-well-it-works) [b](weather.md#nowhere) [c](nowhere.md) [d](https://a.b/c)"
    assert broken(DOCS / "mri.md", text) == ["weather.md#nowhere", "nowhere.md"]


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = [re.sub(r"^.+ <(.+)>$", r"\1", line) for line in (DOCS / "index.md").read_text().splitlines()]
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in (*PAGES, *DOCS.glob("reference/*.rst"))}
    assert pages - {"index"} == pages & set(contents)


def test_tests_that_pages_name_exist() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for page in ("which-method.md", "how-exact.md"):
        named = set(re.findall(r"`(test_\w+)`", (DOCS / page).read_text()))
        assert len(named) > 20
        assert [name for name in named if f"def {name}(" not in tests] == []


COMMANDS = [
    (page.name, line)
    for page in [*DOCS.glob("how-to/*.md"), DOCS / "start.md"]
    for block in re.findall(r"^```\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith(("ornstein sample", "ornstein train"))
]

SHIPPED = {
    "energies.md": "energies/gmm-40",
    "molecules.md": "molecules/qm9",
    "pictures.md": "images/digits",
    "sequences.md": "sequences/trypsin",
    "weather.md": "weather/qg",
}


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_commands_of_how_tos_are_commands(page: str, line: str) -> None:
    argv = shlex.split(line.partition(" #")[0])[1:]
    if argv[1].startswith("runs/"):
        argv[1] = SHIPPED[page]  # its flags are those of the own run
    name, function, _ = _command(argv)
    parse(name, function, argv[1:])


# Outputs of tutorials ---------------------------------------------------------------------------------


TUTORIALS = [page for page in DOCS.glob("*.md") if blocks(page.read_text())]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.name)
def test_tutorials_are_those_that_were_executed(page: Path) -> None:
    record = record_of(page)
    assert record["outputs"] is None or len(record["outputs"]) == len(blocks(page.read_text()))


def test_no_record_names_a_machine() -> None:
    for path in RECORDS.glob("*.json"):
        assert not re.search(r"/(tmp|home|work)/|site-packages", path.read_text()), path


PAGE = "# A page\n\n```python\nx = 2\nprint(x)\n```\n\nText.\n\n```python\nx + 1\n```\n"


def test_a_page_is_shown_with_what_its_blocks_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.chdir(tmp_path)
    record = execute(page, tmp_path)
    assert [output["text"] for output in record["outputs"]] == ["2", ""]
    (tmp_path / "page.json").write_text(json.dumps(record))
    shown = with_outputs(PAGE, record_of(page, tmp_path))
    assert "print(x)\n```\n\n````{code-block} text\n:class: output\n\n2\n````\n\nText." in shown


def test_other_blocks_than_those_executed_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("x = 2", "x = 3"))
    with pytest.raises(ValueError, match="never executed"):
        record_of(page, tmp_path)
    (tmp_path / "page.json").write_text(json.dumps({"blocks": fingerprint(PAGE), "outputs": []}))
    with pytest.raises(ValueError, match="changed since"):
        record_of(page, tmp_path)
    page.write_text(PAGE.replace("Text.", "Other text."))
    record_of(page, tmp_path)


def test_outputs_hold_no_seconds() -> None:
    assert (
        tidied("(4, 8), 20 NFE each, 3.27 s; exactness\nin 2 steps  \n") == "(4, 8), 20 NFE each; exactness\nin 2 steps"
    )


def test_docstrings_stand_as_they_are() -> None:
    from docstrings import converted  # pyright: ignore[reportMissingImports]

    assert converted(["‖A x‖ |y| *z, `f(x)` of x_ and x_t"]) == [r"‖A x‖ \|y\| \*z, ``f(x)`` of x\_ and x_t"]
    block = ["Such as", "", "    f(*x)", "", "and no more."]
    assert converted(block) == ["Such as", "", "::", "", "    f(*x)", "", "and no more."]
    assert converted(["Args:", "    x: a * b"]) == ["Args:", r"    x: a \* b"]
