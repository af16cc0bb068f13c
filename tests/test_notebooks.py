"""In a real Jupyter kernel long work shows a bar that moves, and says how it ended."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from ornstein.events.progress import Shown, in_notebook

WORK = """
import time
from ornstein.events import Event, streamed

@streamed
def work(steps, seconds, inner=False):
    for done in range(1, steps + 1):
        time.sleep(seconds / steps)
        if inner:
            work(3, 0.5)
        yield Event(done, steps, "sampling <b>")
    return steps
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[tuple[BlockingKernelClient, KernelManager]]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        run(client, WORK)
        yield client, manager
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, cell: str, interrupt: Callable[[], object] | None = None) -> list[dict[str, Any]]:
    """What a cell sends to the page, until it is done."""
    told: list[dict[str, Any]] = []

    def hear(message: dict[str, Any]) -> None:
        told.append({"kind": message["header"]["msg_type"], **message["content"]})
        if interrupt and told[-1]["kind"] == "display_data":
            interrupt()

    client.execute_interactive(cell, output_hook=hear, timeout=60)
    return told


def bars(told: list[dict[str, Any]]) -> list[str]:
    return [one["data"]["text/plain"] for one in told if one["kind"] in ("display_data", "update_display_data")]


def test_a_bar_moves_and_ends_as_done(kernel: tuple[BlockingKernelClient, KernelManager]) -> None:
    told = run(kernel[0], "work(12, 1.2)")
    first, *others = [one for one in told if one["kind"].endswith("display_data")]
    assert first["kind"] == "display_data"
    assert 3 <= len(others) <= 6
    assert all(one["kind"] == "update_display_data" for one in others)
    assert {one["transient"]["display_id"] for one in (first, *others)} == {first["transient"]["display_id"]}
    assert "sampling &lt;b&gt;" in first["data"]["text/html"]
    shares = [float(one["data"]["text/html"].split('value="')[1].split('"')[0]) for one in (first, *others)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.6
    assert "of 12, " in bars(told)[0]
    assert "left" in bars(told)[0]
    assert bars(told)[-1].startswith("✓ sampling <b>: 100% (12 of 12, done in 1.")
    assert any(one["kind"] == "execute_result" and one["data"]["text/plain"] == "12" for one in told)


def test_what_is_quick_or_listened_to_shows_no_bar(kernel: tuple[BlockingKernelClient, KernelManager]) -> None:
    assert not bars(run(kernel[0], "work(5, 0.1)"))
    quiet = "from ornstein.events.progress import watched; watched(work.events(5, 0.6), lambda event: None)"
    assert not bars(run(kernel[0], quiet))


def test_work_within_work_adds_no_bar(kernel: tuple[BlockingKernelClient, KernelManager]) -> None:
    told = run(kernel[0], "work(2, 0.1, inner=True)")
    assert sum(one["kind"] == "display_data" for one in told) == 1


def test_an_interrupted_work_says_so(kernel: tuple[BlockingKernelClient, KernelManager]) -> None:
    client, manager = kernel
    told = run(client, "work(100, 30)", interrupt=manager.interrupt_kernel)
    assert bars(told)[-1].startswith("✗ sampling <b>: ")
    assert "of 100, stopped by KeyboardInterrupt after " in bars(told)[-1]
    assert any(one["kind"] == "error" and one["ename"] == "KeyboardInterrupt" for one in told)
    assert bars(run(client, "work(10, 0.8)"))[-1].startswith("✓ ")


def test_a_script_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    from ornstein.events import Event, Stream, streamed

    @streamed
    def work() -> Stream[int]:
        yield Event(1, 1, "working")
        return 3

    assert not in_notebook()
    assert work() == 3
    assert capsys.readouterr() == ("", "")


def test_a_state_of_a_bar_is_shown_as_what_it_is() -> None:
    shown = Shown("<i>\x1b[2J", 0.5, "1 of 2", "", "running")
    assert repr(shown) == "<i>\\x1b[2J: 50% (1 of 2)"
    assert "<i>" not in shown._repr_html_()
