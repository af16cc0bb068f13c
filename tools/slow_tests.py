"""python tools/slow_tests.py LOG: which tests `make test` leaves to `make test-all`, chosen by what they cost.

LOG is what `make slow-list` printed (pytest's --durations). The dearest tests go to tests/slow.txt until the others
take no more than the budget; of every test with parameters the cheapest case stays, unless it is dear itself. What is
in the list already stays there: empty it to measure anew.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

BUDGET = 330.0  # seconds of one core: with two workers and their start, within three and a half minutes
DEAR = 2.0  # seconds; a case above this stays for nobody's sake
LIST = Path(__file__).parent.parent / "tests" / "slow.txt"
_LINE = re.compile(r"^\s*([0-9.]+)s (?:call|setup|teardown)\s+(\S.*?)\s*$")


def costs(log: str) -> dict[str, float]:
    """Seconds of every test, its fixtures included."""
    found: dict[str, float] = defaultdict(float)
    for line in log.splitlines():
        if match := _LINE.match(line):
            found[match[2]] += float(match[1])
    return dict(found)


def chosen(found: Mapping[str, float], budget: float = BUDGET) -> list[str]:
    """The dearest tests, without which the others keep to the budget."""
    cheapest: dict[str, str] = {}
    for name in sorted(found, key=lambda name: -found[name]):
        cheapest[name.partition("[")[0]] = name
    kept = {name for name in cheapest.values() if found[name] <= DEAR}
    left, moved = sum(found.values()), []
    for name in sorted(found.keys() - kept, key=lambda name: -found[name]):
        if left <= budget:
            break
        left -= found[name]
        moved.append(name)
    return moved


def written(names: Iterable[str]) -> str:
    """The list as a file: sorted, one test a line."""
    return "".join(f"{name}\n" for name in sorted(set(names)))


def main(log: str) -> None:
    """Adds the tests of a log to the list, and says what is left."""
    found = costs(Path(log).read_text())
    moved = chosen(found)
    LIST.write_text(written([*(LIST.read_text().splitlines() if LIST.exists() else []), *moved]))
    left = sum(found.values()) - sum(found[name] for name in moved)
    print(f"{len(moved)} tests more in {LIST}; the others took {left:.0f} s of {sum(found.values()):.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
