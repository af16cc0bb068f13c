"""What is printed while a person waits: an estimate once some of long work is done, then a line now and then."""

from pathlib import Path

import pytest
import torch

from ornstein.domains.images.data import digits
from ornstein.events import Event, Stream, heard_by, progress, streamed, tell
from ornstein.events.progress import Lines
from ornstein.tasks import plans, runs
from ornstein.training.clusters import clustered


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def worked(clock: Clock, lines: Lines, seconds: float, total: int = 10, stage: str = "sampling") -> None:
    """Work of so many seconds in all, in equal parts."""
    for done in range(1, total + 1):
        clock.now += seconds / total
        lines(Event(done, total, stage))


def test_long_work_is_estimated_early_and_told_of_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    worked(clock, Lines(), 640.0, total=100)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "sampling: 1%, about 11 min left"
    assert said[1] == "sampling: 4%, about 10 min left"
    assert 30 <= len(said) <= 45


def test_short_work_is_done_in_silence(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    worked(clock, Lines(), 8.0)
    assert not capsys.readouterr().err


def test_each_work_has_a_clock_of_its_own(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    worked(clock, lines, 8.0)
    clock.now += 3600
    lines.begin()
    worked(clock, lines, 40.0, stage="planning time grids")
    assert capsys.readouterr().err.splitlines()[0] == "planning time grids: 10%, about 36 s left"


def test_what_was_there_before_is_no_measure_of_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines(Event(90, 100, "sampling"))  # resumed: ten are left, of which each takes 20 s
    for done in (91, 92):
        clock.now += 20
        lines(Event(done, 100, "sampling"))
    assert capsys.readouterr().err.splitlines()[-1] == "sampling: 92%, about 3 min left"


def test_clusters_tell_how_far_they_are() -> None:
    heard: list[Event] = []
    x = torch.arange(12)[:, None].repeat(1, 6)
    with heard_by(heard.append):
        clustered(x, 12, 0.8)
    assert [event.done for event in heard] == list(range(1, 13))
    assert {(event.total, event.stage) for event in heard} == {(12, "clusters of similar records")}
    tell(1, 2, "to nobody")
    assert len(heard) == 12


def test_a_listener_may_end_the_work() -> None:
    def enough(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), heard_by(enough):
        clustered(torch.zeros(3, 4, dtype=torch.long), 2, 0.5)


def test_time_grids_tell_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @streamed
    def plan(denoiser: object, steps: int, *_: object, **options: object) -> Stream[list[float]]:
        for k in range(4):
            yield Event(k + 1, 4, "planning the grid")
        return [1 - k / steps for k in range(steps + 1)]

    monkeypatch.setattr(plans.grids, "plan", plan)
    path, heard = tmp_path / "model.safetensors", []
    path.write_bytes(runs.locate("images/digits").read_bytes())
    plans.plan_grids(path, runs.load(path), digits()[0], (2, 8), pilots=2, callback=heard.append)
    assert [event.done for event in heard] == [0.5, 1, 1.5, 2, 4, 6, 8, 10]
    assert {(event.total, event.stage) for event in heard} == {(10, "planning time grids")}
    assert len(runs.load(path).grids[8]) == 9
