"""A stack with its desk, and one browser, whose tabs share the stream of the desk."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import Browser
from tests.browser.desk_page import DeskPage
from tests.flows.test_unruly_venue import CONFIG
from tests.stack import LiveStack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    options = ("--fills", "sqlite", "--config-dir", str(CONFIG))
    started = LiveStack(tmp_path_factory.mktemp("desk") / "data", *options, desk=True).start()
    yield started
    started.close()


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium"), {}) as opened:
        yield opened


@pytest.fixture(scope="package")
def first_tab(stack: LiveStack, browser: Browser) -> DeskPage:
    """A tab that stays open, so that the stream of all tabs does too."""
    return DeskPage(browser, f"{stack.url('desk')}/")


@pytest.fixture
def desk(stack: LiveStack, browser: Browser, first_tab: DeskPage) -> Iterator[DeskPage]:
    """A new tab that is live."""
    page = DeskPage(browser, f"{stack.url('desk')}/")
    page.until_text("status", "Connection", "live")
    yield page
    page.close()
