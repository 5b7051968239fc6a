"""alpaca-trade-api as it is: orders, reads, the stream. It needs packages of its own, so its day is a program of its own."""

import json
from pathlib import Path

from tests.clients.conftest import Facade
from tests.clients.other_python import ran
from tests.clients.spec import ANSWERS, Oracle

UNUSED = (("PATCH", "/v2/account/configurations"),)
"""What the client can ask for, and the day does not."""


def test_a_day_of_a_trader_fits_alpacas_own_description(facade: Facade, tmp_path: Path) -> None:
    printed = ran("alpaca-trade-api", ["-m", "tests.clients.trade_api_day"], facade, tmp_path)
    oracle = Oracle()
    for line in printed.splitlines():
        oracle.look(*json.loads(line))
    asked = {(method, path) for method, path, _, _ in ANSWERS if (method, path) not in UNUSED}
    assert asked == {(method, path) for method, path, _ in oracle.seen}
