"""README's Python runs as it stands, on what the package ships."""

import re
from pathlib import Path
from typing import Any

import pytest

from ornstein.mcmc.correction import MCMCReport
from ornstein.tasks.samples import read_samples

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert len(read_samples(tmp_path / "threes")) == 16
    assert names["restored"].exactness.method == "particles"
    unseen = (names["restored"].x.mean(0) - names["picture"])[~names["seen"]]
    assert unseen.square().mean() < names["picture"][~names["seen"]].var()  # nearer to the digit than its own mean
    assert isinstance(names["found"].exactness, MCMCReport)
    assert abs(names["found"].exactness.log_evidence - names["system"].reference["log_z"]) < 0.5
    assert "log evidence" in capsys.readouterr().out
