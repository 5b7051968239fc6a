"""One fake server that stands for all services, for the tests of the command line."""

from collections.abc import Iterator

import pytest

from tests.apps.fake_oms import FakeOms, fake_oms


@pytest.fixture(scope="module")
def fake_services() -> Iterator[FakeOms]:
    with fake_oms() as fake:
        yield fake


@pytest.fixture
def door(fake_services: FakeOms) -> FakeOms:
    """All services at once, with no request seen and no answer set."""
    fake_services.asked.clear()
    fake_services.answers.clear()
    return fake_services
