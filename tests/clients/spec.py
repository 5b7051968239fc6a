"""Alpaca's own description of its API as an oracle: every answer that a client got must fit it."""

import json
import re
from functools import cache
from importlib.metadata import files
from typing import Any, Final

from jsonschema import Draft202012Validator

WHEEL: Final = "alpaca-mcp-server"
DOCUMENT: Final = "specs/trading-api.json"
DATA_DOCUMENT: Final = "specs/market-data-api.json"
UUID: Final = "[0-9a-f-]{36}"
ORDER: Final = {"$ref": "#/components/schemas/Order"}
POSITION: Final = {"$ref": "#/components/schemas/Position"}
ASSET: Final = {"$ref": "#/components/schemas/Assets"}
FILL: Final = {"$ref": "#/components/schemas/TradingActivities"}


def many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


ANSWERS: Final[tuple[tuple[str, str, int, dict[str, Any]], ...]] = (
    ("POST", "/v2/orders", 200, ORDER),
    ("PATCH", f"/v2/orders/{UUID}", 200, ORDER),
    ("GET", f"/v2/orders/{UUID}", 200, ORDER),
    ("GET", "/v2/orders:by_client_order_id", 200, ORDER),
    ("GET", "/v2/orders", 200, many(ORDER)),
    ("DELETE", "/v2/orders", 207, many({"$ref": "#/components/schemas/CanceledOrderResponse"})),
    ("GET", "/v2/positions", 200, many(POSITION)),
    ("GET", "/v2/positions/.+", 200, POSITION),
    ("DELETE", "/v2/positions/.+", 200, ORDER),
    ("DELETE", "/v2/positions", 207, many({"$ref": "#/components/schemas/PositionClosedResponse"})),
    ("GET", "/v2/account", 200, {"$ref": "#/components/schemas/Account"}),
    ("GET", "/v2/account/configurations", 200, {"$ref": "#/components/schemas/AccountConfigurations"}),
    ("PATCH", "/v2/account/configurations", 200, {"$ref": "#/components/schemas/AccountConfigurations"}),
    ("GET", "/v2/account/activities(/FILL)?", 200, many(FILL)),
    ("GET", "/v2/account/portfolio/history", 200, {"$ref": "#/components/schemas/PortfolioHistory"}),
    ("GET", "/v2/assets", 200, many(ASSET)),
    ("GET", "/v2/assets/.+", 200, ASSET),
    ("GET", "/v2/clock", 200, {"$ref": "#/components/schemas/legacy_clock"}),
    ("GET", "/v2/calendar", 200, many({"$ref": "#/components/schemas/legacy_calendar_day"})),
)
ERROR: Final = {"$ref": "#/components/schemas/Error"}
DATA: Final = {
    "/v1beta3/crypto/us/bars": "crypto_bars_resp",
    "/v1beta3/crypto/us/latest/bars": "crypto_latest_bars_resp",
    "/v1beta3/crypto/us/latest/trades": "crypto_latest_trades_resp",
    "/v1beta3/crypto/us/latest/quotes": "crypto_latest_quotes_resp",
    "/v1beta3/crypto/us/latest/orderbooks": "crypto_latest_orderbooks_resp",
    "/v1beta3/crypto/us/trades": "crypto_trades_resp",
    "/v1beta3/crypto/us/quotes": "crypto_quotes_resp",
    "/v2/stocks/trades": "stock_trades_resp",
    "/v2/stocks/quotes": "stock_quotes_resp",
    "/v2/stocks/bars": "stock_bars_resp",
    "/v2/stocks/auctions": "stock_auctions_resp",
    "/v2/stocks/AAPL/trades": "stock_trades_resp_single",
    "/v2/stocks/AAPL/quotes": "stock_quotes_resp_single",
    "/v2/stocks/AAPL/bars": "stock_bars_resp_single",
    "/v2/stocks/AAPL/auctions": "stock_auctions_resp_single",
    "/v2/stocks/AAPL/trades/latest": "stock_latest_trades_resp_single",
    "/v2/stocks/AAPL/quotes/latest": "stock_latest_quotes_resp_single",
    "/v2/stocks/AAPL/bars/latest": "stock_latest_bars_resp_single",
    "/v2/stocks/trades/latest": "stock_latest_trades_resp",
    "/v2/stocks/quotes/latest": "stock_latest_quotes_resp",
    "/v2/stocks/bars/latest": "stock_latest_bars_resp",
}
"""Path -> schema of the answer. Snapshots are not looked at: a part that is not known is null here, and left out there."""


@cache
def components(document: str = DOCUMENT) -> Any:
    """The schemas of a document, which travels in another client's wheel."""
    (found,) = [file for file in files(WHEEL) or () if str(file).endswith(document)]
    return json.loads(found.read_text())["components"]


class Oracle:
    """Looks at each answer that it is shown. `seen` counts the answers by method and pattern of the path, `data_seen` market data."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str, int], int] = {}
        self.data_seen: dict[str, int] = {}

    def look(self, method: str, path: str, status: int, text: str) -> None:
        """Check one answer below the base. An answer without a body needs no description."""
        if status == 204:
            assert text == ""
            return
        answer = json.loads(text)
        if status >= 400:
            self._fits(ERROR, answer, f"{method} {path}")
            return
        if path.startswith(("/v1beta3/", "/v2/stocks/")):
            if (schema := DATA.get(path)) is not None:
                self._fits({"$ref": f"#/components/schemas/{schema}"}, answer, f"{method} {path}", DATA_DOCUMENT)
                self.data_seen[path] = self.data_seen.get(path, 0) + 1
            return
        for asked, pattern, expected, described in ANSWERS:
            if (method, status) == (asked, expected) and re.fullmatch(pattern, path):
                self._fits(described, answer, f"{method} {path}")
                self.seen[method, pattern, status] = self.seen.get((method, pattern, status), 0) + 1
                return
        raise AssertionError(f"{method} {path} answered {status}, which nothing describes")

    @staticmethod
    def _fits(schema: dict[str, Any], answer: Any, where: str, document: str = DOCUMENT) -> None:
        whole = {**schema, "components": components(document)}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        wrong = [f"{where} {error.json_path}: {error.message}" for error in validator.iter_errors(answer)]
        assert not wrong, "\n".join(wrong[:5])
