"""Trades of an account as Alpaca lists activities, in pages that continue behind the last one seen."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Self

from apps.http.alpaca_words import malformed_field
from apps.http.problem import Refusal
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.ids import account_id, dashed, execution_id, shown_id, undashed
from apps.oms.alpaca.moments import SECOND_NS, shown_moment
from apps.oms.alpaca.order_lookup import OrderLookup
from apps.oms.alpaca.recent_fills import FoundFill, RecentFills
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, count_in, list_in, moment_in, reply, word_in
from domain.order.generations import Standing
from domain.order.order import Order, Trade
from domain.ports import FillPlace, Fills, Unavailable
from domain.values import ZERO, from_rfc3339, plain

FILL: Final = "FILL"
CATEGORIES: Final = ("trade_activity", "non_trade_activity")
PAGE_MAX: Final = 100
CHUNK: Final = 200
"""Rows of the table that are read at a time."""
OLDEST_FIRST_MAX: Final = 10_000
"""Trades between the bounds of a list that begins with the oldest."""
MILLISECOND_NS: Final = 1_000_000
DAY_NS: Final = 86_400 * SECOND_NS
ID_DIGITS: Final = 17
LAST_NS: Final = 2**63 - 1
"""The last moment that the table can hold, in the year 2262."""


class _Window(NamedTuple):
    """Which trades: since (inclusive) and until (exclusive), in nanoseconds, and of which order."""

    since_ns: int
    until_ns: int | None
    order_id: str | None

    def before(self, until_ns: int) -> Self:
        """Return the part of the window before a moment. One that no trade can reach bounds nothing: the table could not compare it."""
        if until_ns >= LAST_NS:
            return self
        return self._replace(until_ns=until_ns if self.until_ns is None else min(until_ns, self.until_ns))

    def takes(self, fill: FoundFill) -> bool:
        at = fill.place.at_ns
        return at >= self.since_ns and (self.until_ns is None or at < self.until_ns)

    def shows(self, view: Mapping[str, Any]) -> bool:
        return self.order_id in (None, view["order_id"])


class AlpacaActivities:
    """The handlers of `/v2/account/activities`."""

    def __init__(self, lookup: OrderLookup, fills: Fills, recent: RecentFills, assets: AssetBook) -> None:
        self._lookup = lookup
        self._fills = fills
        self._recent = recent
        self._assets = assets

    async def page(self, request: AlpacaRequest) -> AlpacaReply:
        """List the trades of the account; other kinds of activities there are none."""
        kinds = [request.rest] if request.rest else list_in(request.query, "activity_types")
        category = word_in(request.query, "category", CATEGORIES, CATEGORIES[0])
        if category != CATEGORIES[0] or (kinds and FILL not in (kind.upper() for kind in kinds)):
            return reply([])
        size = count_in(request.query, "page_size", PAGE_MAX, PAGE_MAX)
        oldest_first = word_in(request.query, "direction", ("asc", "desc"), "desc") == "asc"
        window, token = _window(request), request.query.get("page_token") or ""
        if oldest_first:
            found = [view async for view in self._views(request.account, window, OLDEST_FIRST_MAX)]
            if len(found) >= OLDEST_FIRST_MAX:
                raise malformed_field("after", f"at most {OLDEST_FIRST_MAX} trades are listed from the oldest: narrow the bounds")
            found = _behind(found[::-1], token, oldest_first=True)
            return reply(found[:size])
        if token:
            window = window.before(_token_ns(token) + MILLISECOND_NS)
        shown: list[dict[str, Any]] = []
        async for view in self._views(request.account, window, None):
            shown.append(view)
            if len(behind := _behind(shown, token, oldest_first=False)) == size:
                return reply(behind)
        return reply(_behind(shown, token, oldest_first=False))

    async def _views(self, account: str, window: _Window, most: int | None) -> AsyncIterator[dict[str, Any]]:
        """Yield the trades that still count, newest first, at most `most` of them. Refusal 503."""
        count = 0
        async for fill in self._found(account, window):
            order = self._lookup.find(fill.order_id)
            trade = None if order is None else order.trade(fill.place.venue, fill.place.exec_id)
            if order is None or trade is None or trade.busted:
                continue
            view = self._view(order, trade, fill)
            if not window.shows(view):
                continue
            yield view
            count += 1
            if count == most:
                return

    async def _found(self, account: str, window: _Window) -> AsyncIterator[FoundFill]:
        """Yield trades of the table and of the last commits, newest first and each once."""
        recent = [fill for fill in self._recent.of(account) if window.takes(fill)]
        seen = {fill.key for fill in recent}
        below: FillPlace | None = None
        while True:
            rows = await self._rows(account, window, below)
            for row in rows:
                below = row.place
                while recent and recent[0] > row:
                    yield recent.pop(0)
                if row.key not in seen and window.takes(row):
                    yield row
            if len(rows) < CHUNK:
                break
        for fill in recent:
            yield fill

    async def _rows(self, account: str, window: _Window, below: FillPlace | None) -> list[FoundFill]:
        try:
            rows = await self._fills.fills(
                account, symbol=None, since_ns=window.since_ns, until_ns=window.until_ns, below=below, limit=CHUNK
            )
        except Unavailable as trouble:
            raise Refusal(503, "fills_unavailable", str(trouble)) from trouble
        return [_found(row) for row in rows]

    def _view(self, order: Order, trade: Trade, fill: FoundFill) -> dict[str, Any]:
        cum = filled_until(order.trades, trade)
        number, quantity = traded_by(order, cum)
        is_full = cum >= quantity
        return {
            "id": activity_id(fill.place),
            "activity_type": FILL,
            "account_id": account_id(order.account),
            "transaction_time": shown_moment(fill.place.at_ns),
            "type": "fill" if is_full else "partial_fill",
            "price": plain(trade.price),
            "qty": plain(trade.quantity),
            "side": str(order.side),
            "symbol": self._assets.of(order.symbol).shown,
            "order_id": shown_id(order.order_id, number),
            "cum_qty": plain(cum),
            "leaves_qty": plain(max(quantity - cum, ZERO)),
            "order_status": "filled" if is_full else "partially_filled",
        }


def filled_until(trades: Sequence[Trade], last: Trade) -> Decimal:
    """Return what an order had traded right after one of its trades, as far as it still counts."""
    total = ZERO
    for trade in trades:
        total += ZERO if trade.busted else trade.quantity
        if trade is last:
            break
    return total


def traded_by(order: Order, cum: Decimal) -> tuple[int, Decimal]:
    """Return the generation of terms that traded when the order had traded `cum`, and its quantity."""
    for each in order.generations:
        if order.standing_of(each.number) is Standing.REPLACED and cum <= each.cum_quantity:
            return each.number, each.quantity
    return order.generation, order.quantity


def activity_id(place: FillPlace) -> str:
    """Return the id of a trade: 17 digits of UTC time to the millisecond, and the id of the execution."""
    seconds, rest = divmod(place.at_ns, SECOND_NS)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")
    return f"{moment}{rest // MILLISECOND_NS:03d}::{execution_id(place.venue, place.exec_id)}"


def _found(row: dict[str, object]) -> FoundFill:
    at, seq = from_rfc3339(str(row["timestamp"])), int(str(row["seq"]))
    return FoundFill(FillPlace(at, seq, str(row["exec_id"]), str(row["venue"])), str(row["order_id"]))


def _token_ns(token: str) -> int:
    """Return the millisecond of an id. AlpacaRefusal."""
    digits, colons, _ = token.partition("::")
    if not colons or len(digits) != ID_DIGITS or not digits.isascii() or not digits.isdigit():
        raise malformed_field("page_token", "must be the id of an activity")
    try:
        moment = datetime.strptime(digits[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise malformed_field("page_token", "must be the id of an activity") from None
    return int(moment.timestamp()) * SECOND_NS + int(digits[14:]) * MILLISECOND_NS


def _behind(views: list[dict[str, Any]], token: str, *, oldest_first: bool) -> list[dict[str, Any]]:
    """Return what follows the activity of this id; without it in the list, what is of a later page by its time."""
    if not token:
        return views
    place = next((place for place, view in enumerate(views) if view["id"] == token), None)
    if place is not None:
        return views[place + 1 :]
    moment = token[:ID_DIGITS]
    return [view for view in views if (view["id"][:ID_DIGITS] > moment if oldest_first else view["id"][:ID_DIGITS] < moment)]


def _window(request: AlpacaRequest) -> _Window:
    query = request.query
    day = moment_in(query, "date")
    after, until = moment_in(query, "after"), moment_in(query, "until")
    named = query.get("order_id")
    found = undashed(named) if named else None
    if named and found is None:
        raise malformed_field("order_id", "must be the id of an order")
    order_id = None if found is None else dashed(found)
    if day is not None:
        after, until = day - 1, day + DAY_NS
    window = _Window(0 if after is None else min(max(after + 1, 0), LAST_NS), None, order_id)
    return window if until is None else window.before(max(until, 0))
