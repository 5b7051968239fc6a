"""The scopes that open each route, by service. A route without a row is refused."""

from collections.abc import Mapping
from typing import Final

from domain.access.scopes import AccessScope as S
from domain.access.scopes import bits

OPEN: Final = None
"""Answered without a key."""

Row = int | None
"""The scopes, as bits, of which one is enough, and STOPS."""
Table = Mapping[tuple[str, str], Row]
"""By method and path template, as FastAPI writes it: `{name}` is one segment, `{name:path}` the rest up to what follows it.

`{name}.js` is a segment with this end."""

ANY: Final = bits(*S)
"""Any key. In open mode also a program without one."""
READ: Final = bits(S.READ, S.AUDIT)
OPERATE: Final = bits(S.OPS, S.AUDIT)
CONTROLS: Final = bits(S.RISK, S.OPS, S.AUDIT)
CANCEL: Final = bits(S.CANCEL)
TRADE: Final = bits(S.TRADE)
RISK: Final = bits(S.RISK)
OPS: Final = bits(S.OPS)
ADMIN: Final = bits(S.ADMIN)
KILL: Final = RISK | CANCEL
"""A key with cancel alone kills its own account."""
STOPS: Final = 1 << 30
"""Marks the row of a request that stops trading; it is no scope. Its rate cannot be used up by other requests, and it is admitted by keys
that are up to an hour old: while NATS is away, the kill switch at exeq must work, and it only reduces what is at risk."""
PASSED_ON: Final = 1 << 29
"""Marks the row of a request that is passed on to another service, at another path. A signature over this path is refused here, because
that service could not verify it; it is no scope."""

EVERYWHERE: Final[Table] = {
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/docs/favicon-32x32.png"): OPEN,
    ("GET", "/docs/start.js"): OPEN,
    ("GET", "/docs/swagger-ui-bundle.js"): OPEN,
    ("GET", "/docs/swagger-ui.css"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/stats"): OPERATE,
    ("GET", "/access/me"): ANY,
}

TABLES: Final[Mapping[str, Table]] = {
    "normalizer": {
        **EVERYWHERE,
        ("GET", "/books/{venue}/{symbol:path}"): ANY,
        ("GET", "/facts"): ANY,
        ("GET", "/bars/{venue}/{symbol:path}/{interval}"): ANY,
    },
    "oms": {
        **EVERYWHERE,
        ("POST", "/orders"): TRADE,
        ("PATCH", "/orders/{order_id}"): TRADE,
        ("DELETE", "/orders/{order_id}"): CANCEL | STOPS,
        ("DELETE", "/orders"): CANCEL | STOPS,
        ("GET", "/orders"): READ,
        ("GET", "/orders/{order_id}"): READ,
        ("GET", "/orders/{order_id}/events"): READ,
        ("POST", "/order-lists"): TRADE,
        ("GET", "/order-lists"): READ,
        ("GET", "/order-lists/{list_id}"): READ,
        ("GET", "/order-lists/{list_id}/events"): READ,
        ("DELETE", "/order-lists/{list_id}"): CANCEL | STOPS,
        ("POST", "/algos"): TRADE,
        ("PATCH", "/algos/{algo_id}"): TRADE,
        ("POST", "/algos/{algo_id}/pause"): CANCEL | STOPS,
        ("POST", "/algos/{algo_id}/resume"): TRADE,
        ("DELETE", "/algos/{algo_id}"): CANCEL | STOPS,
        ("GET", "/algos"): READ,
        ("GET", "/algos/{algo_id}"): READ,
        ("GET", "/algos/{algo_id}/slices"): READ,
        ("GET", "/algos/{algo_id}/events"): READ,
        ("GET", "/algos/{algo_id}/report"): READ,
        ("GET", "/positions/{account}"): READ,
        ("GET", "/fills/{account}"): READ,
        ("GET", "/equity/{account}"): READ,
        ("GET", "/instruments"): ANY,
        ("GET", "/diagram"): READ | OPERATE,  # its counts need OPERATE
        ("POST", "/orders/{order_id}/settle"): OPS,
        ("POST", "/admin/verify"): OPS,
    },
    "risk": {
        **EVERYWHERE,
        ("POST", "/check"): bits(S.READ, S.RISK),
        ("GET", "/risk/portfolio"): READ | RISK,
        ("GET", "/risk/limits"): READ | RISK,
        ("GET", "/risk/decisions/{order_id}"): READ,  # oms judges the same key again, and there this is what it takes
        ("GET", "/risk/controls"): CONTROLS,
        ("GET", "/risk/controls/history"): CONTROLS,
        ("PUT", "/risk/limits/{account}"): RISK,
        ("POST", "/risk/kill"): KILL | STOPS,
        ("POST", "/risk/arm"): RISK,
        ("POST", "/risk/symbols/{symbol:path}/block"): RISK,
        ("POST", "/risk/symbols/{symbol:path}/unblock"): RISK,
        ("POST", "/risk/accounts/{account}/suspend"): TRADE | STOPS,
        ("POST", "/risk/accounts/{account}/resume"): TRADE,
        ("POST", "/risk/repeats/{account}/enable"): RISK,
        ("POST", "/access/accounts"): ADMIN,
        ("POST", "/access/accounts/{account}/close"): ADMIN,
        ("GET", "/access/accounts"): bits(S.ADMIN, S.AUDIT),
        ("POST", "/access/keys"): ADMIN,
        ("GET", "/access/keys"): bits(S.ADMIN, S.AUDIT),
        ("GET", "/access/keys/{key_id}"): bits(S.ADMIN, S.AUDIT),
        ("POST", "/access/keys/{key_id}/revoke"): ADMIN,
        ("POST", "/access/keys/{key_id}/rotate"): ADMIN,
        ("POST", "/access/keys/{key_id}/limit"): ADMIN,
        ("POST", "/access/keys/{key_id}/end-sessions"): ADMIN,
        ("GET", "/access/log"): bits(S.ADMIN, S.AUDIT),
        ("POST", "/access/sessions"): ANY,
        ("POST", "/access/sessions/current"): ANY,
        ("DELETE", "/access/sessions/current"): ANY,
    },
    "exeq": {
        **EVERYWHERE,
        ("GET", "/queue"): OPERATE,
        ("GET", "/venues"): OPERATE,
        ("GET", "/routes/{order_id}"): OPERATE,
        ("POST", "/routes/preview"): READ | TRADE,
        ("GET", "/reconciliation"): OPERATE,
        ("POST", "/reconciliation"): OPS,
        ("GET", "/kill"): CONTROLS,
        ("POST", "/kill"): RISK | STOPS,
    },
    "live-gateway": {
        **EVERYWHERE,
        ("GET", "/venues"): OPERATE,
        ("GET", "/venues/{venue}/orders"): OPERATE,
        ("POST", "/venues/{venue}/faults"): OPS,
        ("DELETE", "/venues/{venue}/faults"): OPS,
        ("GET", "/quotes/{symbol:path}"): READ | OPERATE,
        ("POST", "/quotes/advance"): OPS,
    },
    "projector": EVERYWHERE,
    "gateway": {**EVERYWHERE, ("GET", "/venues"): READ | OPERATE},
    "sink-ticks": {**EVERYWHERE, ("GET", "/dead-letters"): OPERATE},
    "sink-alt": {
        **EVERYWHERE,
        ("GET", "/dead-letters"): OPERATE,
        ("GET", "/search"): OPERATE,  # both show all accounts
        ("POST", "/query"): OPERATE,
    },
    "desk": {
        **EVERYWHERE,
        ("GET", "/stream"): READ | OPERATE,
        ("GET", "/orders"): READ,
        ("GET", "/changes"): READ,
        ("GET", "/alarms"): READ | OPERATE,
        ("GET", "/history"): OPERATE,
        ("GET", "/"): OPEN,
        ("GET", "/{file}.css"): OPEN,
        ("GET", "/{file}.js"): OPEN,
        ("GET", "/{file}.svg"): OPEN,
        ("GET", "/vendor/{file}.js"): OPEN,
        ("GET", "/session"): ANY,
        ("PATCH", "/session"): ANY,
        ("POST", "/session"): OPEN,  # it judges the key in its body
        ("DELETE", "/session"): OPEN,  # a cookie that is no longer good must be cleared too
        # the service judges each request again, by its own row
        ("GET", "/api/{service}/{path:path}"): ANY | PASSED_ON,
        ("POST", "/api/{service}/{path:path}"): ANY | PASSED_ON,
        ("PUT", "/api/{service}/{path:path}"): ANY | PASSED_ON,
        ("PATCH", "/api/{service}/{path:path}"): ANY | PASSED_ON,
        ("DELETE", "/api/{service}/{path:path}"): ANY | PASSED_ON,
        ("DELETE", "/api/oms/orders"): ANY | STOPS | PASSED_ON,
        ("DELETE", "/api/oms/orders/{order_id}"): ANY | STOPS | PASSED_ON,
        ("DELETE", "/api/oms/order-lists/{list_id}"): ANY | STOPS | PASSED_ON,
        ("DELETE", "/api/oms/algos/{algo_id}"): ANY | STOPS | PASSED_ON,
        ("POST", "/api/oms/algos/{algo_id}/pause"): ANY | STOPS | PASSED_ON,
        ("POST", "/api/risk/risk/kill"): ANY | STOPS | PASSED_ON,
        ("POST", "/api/exeq/kill"): ANY | STOPS | PASSED_ON,
    },
}

PUBLIC: Final = 1 << 28
"""Marks the row of a request that is answered without a key too; a key that is sent must be valid. It is no scope."""

ALPACA: Final[Table] = {
    ("POST", "/v2/orders"): TRADE,
    ("GET", "/v2/orders"): READ,
    ("DELETE", "/v2/orders"): CANCEL | STOPS,
    ("GET", "/v2/orders:by_client_order_id"): READ,
    ("GET", "/v2/orders/{order_id}"): READ,
    ("PATCH", "/v2/orders/{order_id}"): TRADE,
    ("DELETE", "/v2/orders/{order_id}"): CANCEL | STOPS,
    ("GET", "/v2/positions"): READ,
    ("DELETE", "/v2/positions"): TRADE,
    ("GET", "/v2/positions/{asset:path}"): READ,
    ("DELETE", "/v2/positions/{asset:path}"): TRADE,
    ("GET", "/v2/account"): READ,
    ("GET", "/v2/account/configurations"): READ,
    ("PATCH", "/v2/account/configurations"): TRADE,
    ("GET", "/v2/account/activities"): READ,
    ("GET", "/v2/account/activities/{type}"): READ,
    ("GET", "/v2/account/portfolio/history"): READ,
    ("GET", "/v2/assets"): ANY,
    ("GET", "/v2/assets/{asset:path}"): ANY,
    ("GET", "/v2/clock"): ANY,
    ("GET", "/v2/calendar"): ANY,
    ("GET", "/v1beta3/crypto/{loc}/latest/quotes"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/latest/orderbooks"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/snapshots"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/bars"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/latest/bars"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/latest/trades"): ANY | PUBLIC,
    ("GET", "/v2/stocks/bars"): ANY | PUBLIC,
    ("GET", "/v2/stocks/bars/latest"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/bars"): ANY | PUBLIC,
    ("GET", "/v2/stocks/trades/latest"): ANY | PUBLIC,
    ("GET", "/v2/stocks/quotes/latest"): ANY | PUBLIC,
    ("GET", "/v2/stocks/snapshots"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/trades"): ANY | PUBLIC,
    ("GET", "/v1beta3/crypto/{loc}/quotes"): ANY | PUBLIC,
    ("GET", "/v2/stocks/trades"): ANY | PUBLIC,
    ("GET", "/v2/stocks/quotes"): ANY | PUBLIC,
    ("GET", "/v2/stocks/auctions"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/trades"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/quotes"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/auctions"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/bars/latest"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/trades/latest"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/quotes/latest"): ANY | PUBLIC,
    ("GET", "/v2/stocks/{symbol}/snapshot"): ANY | PUBLIC,
}
"""The routes of the Alpaca facade of oms, below its base address. A key of one account is needed, also where the native API is open."""
ALPACA_STREAM: Final[Row] = READ
"""The scopes that open the facade's stream. Its key comes in a message."""


Found = tuple[bool, Row]
"""Whether the table has a route, and its row."""
OPEN_ROUTE: Final[Found] = (True, OPEN)


class RouteScopes:
    """Finds the row of a request. Literal segments go before parameters.

    A request without a row must not reach the application, whose own patterns match more: there `/orders` is also `/orders` and a newline.
    """

    def __init__(self, table: Table) -> None:
        self._literal = {route: (True, row) for route, row in table.items() if "{" not in route[1]}
        self._root = _Node()
        for (method, path), row in table.items():
            self._root.add(path.split("/"), method, row)
        self._methods = sorted({method for method, _ in table})

    def find(self, method: str, path: str) -> Found:
        """Return whether the table has the route, and the scope that it needs."""
        return self._literal.get((method, path)) or self._root.find(path.split("/"), 0, "GET" if method == "HEAD" else method)

    def methods(self, path: str) -> list[str]:
        """Return the methods that the table has at this address. GET implies HEAD."""
        found = [method for method in self._methods if self.find(method, path)[0]]
        return sorted((*found, "HEAD")) if "GET" in found else found


class _Node:
    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.by_ending: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: _Node | None = None
        self.rows: dict[str, Row] = {}

    def add(self, segments: list[str], method: str, row: Row) -> None:
        if not segments:
            self.rows[method] = row
            return
        first, *others = segments
        if first.endswith(":path}"):
            self.rest = node = self.rest or _Node()
        elif first.startswith("{") and not first.endswith("}"):
            node = self.by_ending.setdefault(first.partition("}")[2], _Node())
        elif first.startswith("{"):
            self.parameter = node = self.parameter or _Node()
        else:
            node = self.literal.setdefault(first, _Node())
        node.add(others, method, row)

    def find(self, segments: list[str], place: int, method: str) -> Found:
        if place == len(segments):
            return (True, self.rows[method]) if method in self.rows else (False, None)
        node = self.literal.get(segments[place])
        if node is not None and (found := node.find(segments, place + 1, method))[0]:
            return found
        for ending, node in self.by_ending.items():
            if segments[place].endswith(ending) and segments[place] != ending and (found := node.find(segments, place + 1, method))[0]:
                return found
        if self.parameter is not None and segments[place] and (found := self.parameter.find(segments, place + 1, method))[0]:
            return found
        if self.rest is not None:
            for end in range(len(segments), place, -1):
                if (found := self.rest.find(segments, end, method))[0]:
                    return found
        return False, None
