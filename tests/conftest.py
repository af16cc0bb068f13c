"""Every shape annotation of the package is checked at run time; each test is deterministic, on one thread."""

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from jaxtyping import config

from runtime_types import install

install("ornstein")  # before anything imports the package

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("all", deadline=None, derandomize=True, max_examples=50, database=None)
settings.register_profile("fast", settings.get_profile("all"), max_examples=15)


def pytest_configure(config: pytest.Config) -> None:
    """Fewer examples where the slow tests are left out (make test)."""
    settings.load_profile("fast" if config.option.markexpr == "not slow" else "all")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of slow.txt, which tools/slow_tests.py writes, are as slow as those that are marked so."""
    listed = set(Path(__file__).with_name("slow.txt").read_text().splitlines())
    for item in items:
        if item.nodeid in listed:
            item.add_marker(pytest.mark.slow)


def pytest_collection() -> None:
    """Nothing that is loaded with the tests is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end, so the collector of garbage need not go through their millions of objects."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was not tested for want of a browser is said at the end, not left among the skipped."""
    skipped = [one.longrepr for one in terminalreporter.stats.get("skipped", ()) if isinstance(one.longrepr, tuple)]
    missing = [reason for *_, reason in skipped if "no Chromium" in reason]
    if missing:
        terminalreporter.line(f"{len(missing)} tests were skipped: {missing[0].removeprefix('Skipped: ')}", yellow=True)


@pytest.fixture(scope="session", autouse=True)
def rough_plans() -> Iterator[None]:
    """Grids that a training plans in passing are rough, which saves most of its time; tests of plans make their own."""
    from ornstein.tasks import plans

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "plan_grids", partial(plans.plan_grids, pilots=4, rounds=1))
        yield


@pytest.fixture(scope="module", autouse=True)
def own_code() -> Iterator[None]:
    """The code that a module's tests allow is forgotten at its end: workers of later tests would run all of it."""
    from ornstein import code

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "_allowed", dict(code._allowed))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_arithmetic() -> Iterator[None]:
    """Trainings are in float32 on every machine: no CPU is measured to be faster in bf16 unless a test says so."""
    from ornstein.training import devices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "_slowdown", lambda: 1.0)
        yield


@pytest.fixture
def untyped() -> Iterator[None]:
    """Without the checks of types, which users do not have: what is of a wrong type must be named all the same."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
