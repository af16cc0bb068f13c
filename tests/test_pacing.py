"""What is done beside the work takes no more than its share of the time."""

import time

import pytest

from ornstein.pacing import Pace


def test_it_takes_its_share_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace(0.1)
    assert pace.due  # the first time at once
    with pace.spent():
        now += 2.0
    now += 19.9
    assert not pace.due
    now += 0.2
    assert pace.due


def test_what_failed_is_due_again() -> None:
    pace = Pace(1e-9)
    with pytest.raises(OSError), pace.spent():
        raise OSError
    assert pace.due
