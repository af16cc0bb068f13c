"""The tutorial runs, block by block, as a reader would."""

import re
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parent.parent / "docs" / "say-what-you-know.md"


@pytest.mark.slow
def test_the_tutorial_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert "beyond what this model draws" in capsys.readouterr().out
