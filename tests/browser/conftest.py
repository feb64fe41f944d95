"""One server and one browser for each module, one fresh page for each test; every page is watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_driver import WAIT_MS, Server, Watch, open_browser
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("serve")) as running:
        yield running


# For a module and not for the session: Playwright's sync API holds an event loop in this thread while
# it is open, and other modules have asynchronous tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server, watch_factory: list[Watch]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    watch_factory.append(Watch(opened, server.url))
    yield opened
    context.close()


@pytest.fixture
def watch_factory() -> Iterator[list[Watch]]:
    watches: list[Watch] = []
    yield watches
    for watch in watches:
        watch.verify()


@pytest.fixture
def watch(page: Page, watch_factory: list[Watch]) -> Watch:
    return watch_factory[0]
