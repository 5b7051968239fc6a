"""One stack in keys mode for each file, with two tenants and a key that signs."""

from collections.abc import Iterator

import pytest

from tests.flows.access.bert import Bert
from tests.flows.access.tenants import ANNA, House, Made, Signer
from tests.stack import LiveStack


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    running = LiveStack(tmp_path_factory.mktemp("keys") / "data", "--access", "keys", "--fills", "sqlite").start()
    try:
        opened = House(running)
        yield opened
        opened.close()
    finally:
        running.close()


@pytest.fixture(scope="module")
def anna(house: House) -> Made:
    return house.key(ANNA, "trade", "read", owner="ann-owner")


@pytest.fixture(scope="module")
def bert(house: House) -> Bert:
    return Bert(house)


@pytest.fixture(scope="module")
def signer(house: House) -> Signer:
    return house.signer("acct-signs", "trade", "read", owner="sig-owner")
