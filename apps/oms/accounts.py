"""Positions and fills of an account, read from the projections, with the sequence that they reflect."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar, cast

import msgspec

from apps.http.app import Refusal
from apps.http.order_view import View
from apps.http.query import refused
from apps.oms.history_client import PositionHistory
from apps.oms.views import positions_view
from domain.market.quotes import Market
from domain.ports import Clock, FillPlace, Fills, Positions, Unavailable
from domain.shards import ONE_SHARD, Shards
from domain.values import from_rfc3339, rfc3339

T = TypeVar("T")

MIN_SEQ_WAIT_S: Final = 2.0
MIN_SEQ_POLL_S: Final = 0.005
SEQ_END: Final = 2**63


class Accounts:
    """Reads over Valkey positions and the fills table; marks come from the ticks."""

    def __init__(
        self,
        positions: Positions,
        fills: Fills,
        market: Market,
        clock: Clock,
        quote_age_max_s: float,
        currency: Callable[[str], str | None],
        past: PositionHistory | None = None,
        shards: Shards = ONE_SHARD,
    ) -> None:
        self._shards = shards
        self._past = past
        self._currency = currency
        self._positions = positions
        self._fills = fills
        self._market = market
        self._clock = clock
        self._quote_age_max_ns = int(quote_age_max_s * 1e9)

    async def positions(self, account: str, min_seq: int) -> tuple[View, int]:
        """Return positions by symbol and their sequence, at least `min_seq`.

        Waits up to MIN_SEQ_WAIT_S. Refusal 503 when the projection is behind or unavailable.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MIN_SEQ_WAIT_S
        while True:
            held, seq = await _answered(self._positions.of(account), "positions_unavailable")
            if seq >= min_seq:
                return positions_view(held, self._currency, self._market, self._clock.monotonic_ns() - self._quote_age_max_ns), seq
            if loop.time() >= deadline:
                raise Refusal(503, "projection_behind", f"positions are at sequence {seq}; requested {min_seq}", as_of_seq=seq)
            await asyncio.sleep(MIN_SEQ_POLL_S)

    async def positions_at(self, account: str, at_seq: int) -> View:
        """Return positions as of a sequence that the journal has reached, marked at the last fill's price: past quotes are not kept.

        Refusal 503.
        """
        if self._past is None:
            raise Refusal(503, "past_unavailable", "this oms does not serve point-in-time queries")
        return positions_view(await self._past.positions(account, at_seq), self._currency, Market(), 0)

    async def fills(
        self, account: str, *, symbol: str | None, since_ns: int | None, until_ns: int | None, limit: int, cursor: str | None
    ) -> View:
        """Return a page of the fills table, newest first; `next` is null on the last page. New fills do not shift older pages.

        Refusal 503.
        """
        below = None if cursor is None else _place(cursor)
        since_ns = 0 if since_ns is None else since_ns
        asked = self._fills.fills(account, symbol=symbol, since_ns=since_ns, until_ns=until_ns, below=below, limit=limit + 1)
        found = await _answered(asked, "fills_unavailable")
        rows = [row | {"currency": self._currency(str(row["symbol"]))} | self._shards.field(account) for row in found[:limit]]
        return {"fills": rows, "next": _cursor(found[limit - 1]) if len(found) > limit else None}


def _cursor(row: Mapping[str, object]) -> str:
    """Encode the position of a page's last row. The cursor is opaque because venue ids may be any text."""
    place = FillPlace(from_rfc3339(str(row["timestamp"])), cast(int, row["seq"]), str(row["exec_id"]), str(row["venue"]))
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(cursor: str) -> FillPlace:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=FillPlace)
        rfc3339(found.at_ns)
    except (ValueError, OverflowError):
        raise refused("cursor", "cursor must be the `next` value of a page") from None
    if abs(found.seq) >= SEQ_END:
        raise refused("cursor", "cursor must be the `next` value of a page")
    return found


async def _answered(reading: Awaitable[T], code: str) -> T:
    try:
        return await reading
    except Unavailable as trouble:
        raise Refusal(503, code, str(trouble), headers={"Retry-After": "1"}) from trouble
