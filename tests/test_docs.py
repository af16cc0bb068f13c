"""The tutorials run, block by block, as a reader would."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tutorial", "count", "said"),
    [
        ("molecules.md", 5, "Samples of molecules/qm9"),
        ("pictures.md", 2, "Samples of images/openmoji"),
        ("sequences.md", 6, "valid in 50 calls"),
        ("fields.md", 6, "50 records by time"),
        ("calibration.md", 4, "TARP: 100 cases, p = "),
        ("say-what-you-know.md", 8, "beyond what this model draws"),
        ("from-energy-to-samples.md", 14, "the draws have lost part of the density"),
    ],
)
def test_the_tutorials_run(tutorial: str, count: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / tutorial).read_text(), re.DOTALL)
    assert len(blocks) == count
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert said in capsys.readouterr().out
