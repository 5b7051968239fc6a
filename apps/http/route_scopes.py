"""The scope that each route needs, by service. A route without a row is refused."""

from collections.abc import Mapping
from typing import Final

from domain.access.scopes import AccessScope as S

OPEN: Final = None
"""Answered without a key."""

Row = S | None
Table = Mapping[tuple[str, str], Row]
"""By method and path template, as FastAPI writes it: `{name}` is one segment, `{name:path}` the rest up to what follows it."""

EVERYWHERE: Final[Table] = {
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/stats"): S.OPS,
    ("GET", "/access/me"): S.READ,
}

TABLES: Final[Mapping[str, Table]] = {
    "oms": {
        **EVERYWHERE,
        ("POST", "/orders"): S.TRADE,
        ("PATCH", "/orders/{order_id}"): S.TRADE,
        ("DELETE", "/orders/{order_id}"): S.CANCEL,
        ("DELETE", "/orders"): S.CANCEL,
        ("GET", "/orders"): S.READ,
        ("GET", "/orders/{order_id}"): S.READ,
        ("GET", "/orders/{order_id}/events"): S.READ,
        ("GET", "/positions/{account}"): S.READ,
        ("GET", "/fills/{account}"): S.READ,
        ("GET", "/diagram"): S.READ,
        ("POST", "/orders/{order_id}/settle"): S.OPS,
        ("POST", "/admin/verify"): S.OPS,
    },
}


class RouteScopes:
    """Finds the row of a request. Literal segments go before parameters."""

    def __init__(self, table: Table) -> None:
        self._literal = {route: (True, row) for route, row in table.items() if "{" not in route[1]}
        self._root = _Node()
        for (method, path), row in table.items():
            self._root.add(path.strip("/").split("/"), method, row)

    def find(self, method: str, path: str) -> tuple[bool, Row]:
        """Return whether the table has the route, and the scope that it needs."""
        return self._literal.get((method, path)) or self._root.find(path.strip("/").split("/"), 0, "GET" if method == "HEAD" else method)


class _Node:
    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
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
        elif first.startswith("{"):
            self.parameter = node = self.parameter or _Node()
        else:
            node = self.literal.setdefault(first, _Node())
        node.add(others, method, row)

    def find(self, segments: list[str], place: int, method: str) -> tuple[bool, Row]:
        if place == len(segments):
            return (True, self.rows[method]) if method in self.rows else (False, None)
        node = self.literal.get(segments[place])
        if node is not None and (found := node.find(segments, place + 1, method))[0]:
            return found
        if self.parameter is not None and segments[place] and (found := self.parameter.find(segments, place + 1, method))[0]:
            return found
        if self.rest is not None:
            for end in range(len(segments), place, -1):
                if (found := self.rest.find(segments, end, method))[0]:
                    return found
        return False, None
