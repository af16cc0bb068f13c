"""What the blocks of a tutorial print: executed once, recorded in docs/executed, shown on the site behind each block.

    python tools/executed_docs.py [docs/molecules.md ...]     # anew; all that take about a minute if none is named

A record holds for the blocks that it was made of, by their hash: the site does not build with any other. Blocks are run
in their order, in one process, in an empty folder, as tests/test_docs.py runs them. Pages that take long are executed
only if they are named: else a record that still holds is kept, and in the place of another stands how long they take.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RECORDS = DOCS / "executed"
NOT_EXECUTED = (
    "The blocks of this page were not executed for this site: they take about {minutes} minutes of one core. "
    "`make test-all` runs them."
)
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURES = {".png", ".svg"}
LARGEST = 200_000  # bytes of a picture that is kept
LONGEST = 60  # lines of an output that are kept
MINUTES = {"inverse-problems": 6, "poisson": 7, "weather": 8}  # of one core, of pages that take long


def blocks(text: str) -> list[tuple[str, str]]:
    """The blocks of a page that are run: (python or sh, code)."""
    return BLOCK.findall(text)


def fingerprint(text: str) -> str:
    """A hash of all blocks of a page."""
    return hashlib.sha256(json.dumps(blocks(text)).encode()).hexdigest()[:16]


def record_of(page: Path, records: Path = RECORDS) -> dict[str, Any]:
    """What was recorded of a page; ValueError if nothing was, or of other blocks.

    Args:
        page: a tutorial, NAME.md.
        records: the folder of NAME.json.
    """
    path = records / f"{page.stem}.json"
    if not path.exists():
        raise ValueError(f"{page.name}: its blocks were never executed; run make docs-run PAGES=docs/{page.name}")
    record = json.loads(path.read_text())
    if record["blocks"] != fingerprint(page.read_text()):
        raise ValueError(f"{page.name}: its blocks changed since they were executed; run make docs-run PAGES={page}")
    return record


def with_outputs(text: str, record: dict[str, Any], folder: str = "executed") -> str:
    """A page with the output of each block behind it.

    Args:
        text: the page, in Markdown.
        record: as `execute` made it of this page.
        folder: where its pictures are, as the page names it.
    """
    if record["outputs"] is None:
        title, _, rest = text.partition("\n")
        return f"{title}\n\n:::{{note}}\n{NOT_EXECUTED.format(**record)}\n:::\n{rest}"
    outputs = iter(record["outputs"])

    def shown(match: re.Match[str]) -> str:
        output = next(outputs)
        parts = [match.group(0)]
        if output["text"] and not match.string.startswith("\n\n```text", match.end()):  # the page has it itself
            parts.append(f"````{{code-block}} text\n:class: output\n\n{output['text']}\n````")
        parts += [f"![{what}]({folder}/{name})" for name, what in output["pictures"].items()]
        return "\n\n".join(parts)

    return BLOCK.sub(shown, text)


def execute(page: Path, records: Path = RECORDS) -> dict[str, Any]:
    """Runs the blocks of a page in the present folder, which is empty, and returns their record.

    Args:
        page: a tutorial, NAME.md.
        records: where its pictures are kept.
    """
    for old in records.glob(f"{page.stem}-[0-9]*"):
        old.unlink()
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs, begun = [], time.monotonic()
    for number, (kind, block) in enumerate(blocks(page.read_text()), 1):
        before, text = set(Path().rglob("*")), io.StringIO()
        with contextlib.redirect_stdout(text):
            exec(block, names) if kind == "python" else _commands(block)
        made = sorted(set(Path().glob("*")) - before)
        outputs.append({"text": tidied(text.getvalue()), "pictures": _kept(made, f"{page.stem}-{number}", records)})
        print(f"{page.name} {number}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return {"blocks": fingerprint(page.read_text()), "seconds": round(time.monotonic() - begun), "outputs": outputs}


def _commands(block: str) -> None:
    """The lines of a block of a shell, each a command of ornstein or a module of Python."""
    from ornstein.cli import main

    for line in block.splitlines():
        program, *said = shlex.split(line)
        if program == "ornstein":
            assert main(said) == 0, line
        else:
            sys.argv = said[1:]
            runpy.run_module(said[1], run_name="__main__")


def _kept(made: list[Path], stem: str, records: Path) -> dict[str, str]:
    """The small ones of the pictures that a block wrote, as copies: file -> what it shows."""
    pictures = [path for path in made if path.suffix in PICTURES and path.stat().st_size < LARGEST]
    for picture in pictures:
        shutil.copy(picture, records / f"{stem}-{picture.name}")
    return {f"{stem}-{picture.name}": f"{picture.name}, which this block writes" for picture in pictures}


def tidied(text: str) -> str:
    """An output without what another machine or moment would change: seconds, and spaces that end a line."""
    lines = [re.sub(r",?(?: in)? \d[\d.,]* s\b", "", line).rstrip() for line in text.strip("\n").splitlines()]
    if len(lines) > LONGEST:
        lines = [*lines[: LONGEST - 1], f"… and {len(lines) - LONGEST + 1} more lines"]
    return "\n".join(lines)


def main(pages: list[Path]) -> None:
    """Executes pages anew, each in a process and an empty folder of its own, and writes their records."""
    for page in pages or [page for page in sorted(DOCS.glob("*.md")) if blocks(page.read_text())]:
        if page not in pages and page.stem in MINUTES:
            if not _holds(page):
                _write(page, {"blocks": fingerprint(page.read_text()), "minutes": MINUTES[page.stem], "outputs": None})
            continue
        with tempfile.TemporaryDirectory() as folder:
            child = [sys.executable, __file__, "--in", folder, str(page.resolve())]
            subprocess.run(child, check=True, env=os.environ | {"COLUMNS": "100"})


def _holds(page: Path) -> bool:
    """Whether what was recorded of a page is of its present blocks."""
    try:
        return bool(record_of(page))
    except ValueError:
        return False


def _write(page: Path, record: dict[str, Any]) -> None:
    (RECORDS / f"{page.stem}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in"]:
        os.chdir(sys.argv[2])
        here = Path(sys.argv[3])
        _write(here, execute(here))
    else:
        main([Path(name) for name in sys.argv[1:]])
