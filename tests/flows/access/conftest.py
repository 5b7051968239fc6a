"""One stack in keys mode for each file, with two tenants and a key that signs."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from config.loading import BACKEND
from tests.flows.access.bert import Bert
from tests.flows.access.tenants import ANNA, House, Made, Signer
from tests.stack import PATIENT, LiveStack

ALONE_MAX_USD: Final = 1_000_000
"""The limit that one owner may set alone."""


def configured(directory: Path) -> Path:
    """The configuration of patient services, in which two owners raise a limit above ALONE_MAX_USD."""
    shutil.copytree(PATIENT, directory)
    settings = yaml.safe_load((BACKEND / "risk/config.yaml").read_text())
    settings["controls"]["limits_second_person_above_usd"] = ALONE_MAX_USD
    (directory / "risk").mkdir()
    (directory / "risk/config.yaml").write_text(yaml.safe_dump(settings))
    return directory


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("keys")
    options = ("--access", "keys", "--fills", "sqlite", "--config-dir", str(configured(home / "config")))
    running = LiveStack(home / "data", *options, desk=True).start()
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
