"""The site looks like the reports, the tour and the studio: their style sheet's variables, given to the theme."""

import re
from pathlib import Path
from typing import Any

SHEET = Path(__file__).parents[2] / "src" / "ornstein" / "report" / "style.css"
VARIABLES = re.compile(r"^@layer variables \{\n.*?^\}\n", re.DOTALL | re.MULTILINE)


def write_variables(app: Any, error: Exception | None) -> None:
    """Only the variables: elements of the theme have rules of its own."""
    if error is None and app.builder.format == "html":
        found = VARIABLES.search(SHEET.read_text())
        assert found, f"{SHEET} has no layer of variables"
        (Path(app.outdir) / "_static" / "variables.css").write_text(found.group(0))


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_css_file("variables.css", priority=400)
    app.connect("build-finished", write_variables)
    return {"parallel_read_safe": True}
