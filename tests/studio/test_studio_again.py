"""What a result says it was asked for can be asked again as it stands, files and all; no other path can."""

from pathlib import Path

import pytest

from ornstein.errors import InputError
from ornstein.studio.door.forms import order
from ornstein.studio.uploads.references import Places
from ornstein.studio.uploads.store import Uploads


@pytest.fixture
def places(tmp_path: Path) -> Places:
    kept = tmp_path / "inputs" / "78f77be61db4358f"
    kept.mkdir(parents=True)
    for path in (kept / "one.png", tmp_path / "secret.png", tmp_path / "inputs.png"):
        path.write_bytes(b"")
    (kept / "link.png").symlink_to(tmp_path / "secret.png")
    return Places(Uploads(), tmp_path / "runs", inputs=tmp_path / "inputs")


def test_a_file_that_is_kept_with_results_is_named_by_its_path(places: Places, tmp_path: Path):
    path = tmp_path / "inputs" / "78f77be61db4358f" / "one.png"
    asked = order({"model": "images/digits", "observation": str(path), "seed": 3}, places)
    assert asked.asked.observation == path
    assert order({"model": "images/digits", **asked.flat}, places).asked == asked.asked


@pytest.mark.parametrize(
    "name", ["secret.png", "inputs.png", "inputs/78f77be61db4358f/link.png", "inputs/../secret.png"]
)
def test_no_other_path_is(name: str, places: Places, tmp_path: Path):
    with pytest.raises(InputError, match="expected a file that was uploaded"):
        order({"model": "images/digits", "observation": str(tmp_path / name)}, places)
