"""What is done beside the work takes no more than its share of the time."""

import time

import pytest

from ornstein.tasks.storage.throttle import Throttle


def test_it_takes_its_share_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    throttle = Throttle(0.1)
    assert throttle.due  # the first time at once
    with throttle.spent():
        now += 2.0
    now += 19.9
    assert not throttle.due
    now += 0.2
    assert throttle.due


def test_what_failed_is_due_again() -> None:
    throttle = Throttle(1e-9)
    with pytest.raises(ZeroDivisionError), throttle.spent():
        raise ZeroDivisionError
    assert throttle.due
