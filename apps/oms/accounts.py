"""What an account holds and did: read from the projections, with the sequence they stand for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from apps.http import Refusal
from apps.oms.views import View, positions_view
from apps.past.asking import Past
from domain.ports import Clock, Fills, Positions, Unavailable
from domain.quotes import Market

T = TypeVar("T")

MIN_SEQ_WAIT_S: Final = 2.0
MIN_SEQ_POLL_S: Final = 0.005


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
        past: Past | None = None,
    ) -> None:
        self._past = past
        self._currency = currency
        self._positions = positions
        self._fills = fills
        self._market = market
        self._clock = clock
        self._quote_age_max_ns = int(quote_age_max_s * 1e9)

    async def positions(self, account: str, min_seq: int) -> tuple[View, int]:
        """Positions by symbol and their sequence, at least `min_seq`. Refusal 503 when the projection is behind or away."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + MIN_SEQ_WAIT_S
        while True:
            held, seq = await _answered(self._positions.of(account), "positions_unavailable")
            if seq >= min_seq:
                return positions_view(held, self._currency, self._market, self._clock.monotonic_ns() - self._quote_age_max_ns), seq
            if loop.time() >= deadline:
                raise Refusal(503, "projection_behind", f"positions stand at sequence {seq}, asked for {min_seq}", as_of_seq=seq)
            await asyncio.sleep(MIN_SEQ_POLL_S)

    async def positions_at(self, account: str, at_seq: int) -> View:
        """As the journal had them at a sequence that it has reached, marked at the last fill's price: the market of then is not kept."""
        if self._past is None:
            raise Refusal(503, "past_unavailable", "this oms does not look into the past")
        return positions_view(await self._past.positions(account, at_seq), self._currency, Market(), 0)

    async def fills(self, account: str, symbol: str | None, since_ns: int, limit: int) -> list[dict[str, object]]:
        rows = await _answered(self._fills.fills(account, symbol=symbol, since_ns=since_ns, limit=limit), "fills_unavailable")
        return [row | {"currency": self._currency(str(row["symbol"]))} for row in rows]


async def _answered(reading: Awaitable[T], code: str) -> T:
    try:
        return await reading
    except Unavailable as trouble:
        raise Refusal(503, code, str(trouble), headers={"Retry-After": "1"}) from trouble
