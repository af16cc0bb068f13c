"""One Chromium for all tests of a worker: it takes a second to start."""

from collections.abc import Iterator

import pytest
from browsing import MISSING, Browser, browser, programs


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if programs() is None:
        pytest.skip(MISSING)
    with browser(tmp_path_factory.mktemp("chromium")) as one:
        yield one
