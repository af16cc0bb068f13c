"""The list of slow tests names tests that exist, and is chosen by what tests cost."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from slow_tests import chosen, costs  # noqa: E402

LISTED = (ROOT / "tests" / "slow.txt").read_text().splitlines()


def test_every_line_names_a_test() -> None:
    for line in LISTED:
        file, _, name = line.partition("::")
        assert re.search(rf"^def {name.partition('[')[0]}\(", (ROOT / file).read_text(), re.MULTILINE), line


def test_what_is_listed_is_slow(request: pytest.FixtureRequest) -> None:
    items = {item.nodeid: item for item in request.session.items if item.nodeid in LISTED}
    if request.config.option.markexpr == "not slow":
        assert not items
    assert all(item.get_closest_marker("slow") for item in items.values())


def test_the_dearest_go_and_a_cheap_case_of_each_stays() -> None:
    log = """
    9.00s call     tests/a.py::test_one
    3.00s call     tests/a.py::test_cases[x y]
    1.00s call     tests/a.py::test_cases[z]
    2.50s setup    tests/a.py::test_cases[x y]
    0.50s teardown tests/b.py::test_two
    1 passed in 3.00s"""
    found = costs(log)
    assert found == {
        "tests/a.py::test_one": 9.0,
        "tests/a.py::test_cases[x y]": 5.5,
        "tests/a.py::test_cases[z]": 1.0,
        "tests/b.py::test_two": 0.5,
    }
    assert chosen(found, 20) == []
    assert chosen(found, 8) == ["tests/a.py::test_one"]
    assert chosen(found, 0) == ["tests/a.py::test_one", "tests/a.py::test_cases[x y]"]
