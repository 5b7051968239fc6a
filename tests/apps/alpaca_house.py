"""The Alpaca facade in front of an oms without servers: keys of two accounts, a risk that answers from a dict, trades that a test makes."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any, Final

import httpx
from starlette.types import Receive, Scope, Send

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal
from adapters.memory_market import MemoryMarket
from apps.http.access import Access
from apps.http.alpaca_guard import AlpacaGuard
from apps.http.app import Handler, fast_path, with_head
from apps.http.authority import Authority, KeysKnown
from apps.http.credentials import digest, new_key_id, new_secret
from apps.http.guard import guarded
from apps.http.messages import send_json
from apps.http.route_scopes import TABLES
from apps.oms.alpaca.app import AlpacaApp
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.ids import undashed
from apps.oms.alpaca.portfolio import RiskReader
from apps.oms.alpaca.recent_fills import RecentFills
from apps.oms.alpaca.wiring import FacadeParts, facade_routes
from apps.oms.bounded_reads import BoundedReads
from apps.oms.market_reads import MarketReads
from apps.oms.submit_body import TermsReader
from apps.runtime.chassis import cancelled
from domain.access.events import KeyCreated
from domain.access.keys import KeyRing
from domain.execution.order_rules import AuctionOf, never_closing
from domain.instruments import Denial
from domain.market.quotes import Quote
from domain.market.trading_hours import ALWAYS
from domain.order.auction import Auction
from domain.order.commands import ReportKind, RouteOrder, VenueReport
from domain.order.events import Candidate, Leg
from domain.order.generations import generations_named
from domain.order.order import Order
from domain.ports import Head
from domain.position.position import PositionBook
from domain.position.rows import EventRow
from domain.risk.controls import AccountResumed, AccountSuspended, Controls
from domain.values import Liquidity, OrderType, Side, TimeInForce
from tests.apps.oms_house import QUOTE_AGE_MAX_S, OmsHouse, living
from tests.apps.submits import INSTRUMENTS

BASE: Final = "/alpaca"
ADDRESS: Final = "http://127.0.0.1/alpaca"
SECRET: Final = new_secret()
VENUE: Final = "PAPER_A"


class AnsweringRisk:
    """Stands for risk's HTTP port: answers what `portfolio` and `limits` say, and suspends accounts."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self.portfolio = b'{"equity":100000,"margin_in_use":0,"reservations":0,"buying_power":100000,"symbols":{}}'
        self.limits = b'{"margin_requirement_pct":50,"short_allowed":false}'
        self.down = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        *_, account, word = scope["path"].split("/")
        common: Any = {"version": self._controls.version + 1, "at": 1, "who": account, "reason": "asked"}
        if self.down:
            await send_json(send, 503, b"{}")
        elif scope["method"] == "POST":
            self._controls.apply((AccountSuspended if word == "suspend" else AccountResumed)(account=account, **common))
            await send_json(send, 200, b"{}")
        else:
            await send_json(send, 200, self.portfolio if scope["path"] == "/risk/portfolio" else self.limits)


class StoppableClock(SystemClock):
    """A clock that a test can stop, so that no rate recovers."""

    stopped_at: int | None = None

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() if self.stopped_at is None else self.stopped_at

    def stop(self) -> None:
        self.stopped_at = super().monotonic_ns()


class AlpacaHouse:
    """The facade as it is wired, and the keys of alice and bob."""

    def __init__(self, oms: OmsHouse) -> None:
        self.oms, self.keys, self.controls = oms, KeyRing(), Controls()
        self.risk = AnsweringRisk(self.controls)
        self.recent, self.rates = RecentFills(), StoppableClock()
        self.auction_of: AuctionOf = never_closing
        self.lagging = True
        """Whether the table of fills is behind the journal."""
        self.recorded = MemoryMarket()
        self._numbers = itertools.count(1)
        self._versions = itertools.count(1)
        known = KeysKnown(oms.clock)
        known.read_to_end(oms.clock.monotonic_ns() + 10**15)  # for as long as a test runs
        authority = Authority("open", self.keys, TABLES["oms"], self.rates, known)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.risk), base_url="http://127.0.0.1:1")
        parts = FacadeParts(
            oms.host,
            oms.reads,
            oms.intake,
            oms.replaces,
            self._reader(),
            oms.accounts,
            oms.fills,
            self.recent,
            oms.lists,
            oms.market,
            self.controls,
            oms.clock,
            oms.metrics,
            oms.equity,
            MarketReads(self.recorded, BoundedReads()),
        )
        risk = RiskReader(client, self.keys)
        self.routes = facade_routes(AssetBook(INSTRUMENTS.values()), [ALWAYS], self.keys, risk, parts, int(QUOTE_AGE_MAX_S * 1e9))
        app = fast_path(oms.application, {("POST", "/orders"): oms.door}, {BASE: AlpacaApp(BASE, self.routes)})
        self._guarded = partial(guarded, access=Access(), authority=authority, alpaca=AlpacaGuard(BASE, self.rates))
        self.app: Handler = self._guarded(with_head(app))
        oms.host.on_landed = self.recent.landed
        oms.forbids = lambda terms: self.controls.refuses(terms.account, terms.symbol)

    def _reader(self) -> TermsReader:
        def touching(symbol: str, side: Side) -> Candidate | None:
            quote = self.oms.market.touching(symbol, side)
            return None if quote is None else Candidate(quote.venue, quote.bid, quote.ask, quote.size(side))

        def auction(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
            return self.auction_of(symbol, time_in_force)

        return TermsReader(INSTRUMENTS, "main", frozenset(OrderType), KeyRing().may_trade, touching, auction_of=auction)

    def key(self, account: str, *scopes: str, rate: int = 1000) -> dict[str, str]:
        """The headers of a new key."""
        key_id = new_key_id()
        made = KeyCreated(
            version=next(self._versions),
            at=1_700_000_000_000_000_000,
            who="operator",
            key_id=key_id,
            owner=account,
            account=account,
            scopes=scopes,
            digest=digest(SECRET.encode()).hex(),
            rate=rate,
            burst=rate,
        )
        self.keys.apply(made)
        return {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": SECRET}

    @asynccontextmanager
    async def http(self, headers: dict[str, str] | None = None, app: Handler | None = None) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app if app is None else self._guarded(app))
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS, headers=headers) as client:
            yield client

    def quote(self, bid: str, ask: str, symbol: str = "BTCUSDT") -> None:
        """One venue quotes two units on each side."""
        prices, two = (Decimal(bid), Decimal(ask)), Decimal(2)
        at = self.oms.clock.now_ns()
        quote = Quote(symbol=symbol, venue=VENUE, bid=prices[0], ask=prices[1], bid_size=two, ask_size=two, at=at)
        self.oms.market.update(quote, self.oms.clock.monotonic_ns())

    def order(self, shown_id: str) -> Order:
        """The order, by the id of any generation of its terms."""
        found = [self.oms.host.find(order_id) for order_id, _ in generations_named(str(undashed(shown_id)))]
        return next(filter(None, found))

    async def route(self, shown_id: str) -> str:
        """Send the order to a venue, which accepts it. Returns the route."""
        order = self.order(shown_id)
        route_id = f"R{next(self._numbers)}"
        legs = (Leg(route_id, VENUE, order.quantity),)
        await self.oms.host.perform(RouteOrder(order_id=order.order_id, legs=legs, policy="best_price"))
        await self.report(shown_id, "accepted", venue_order_id=f"V-{route_id}")
        return route_id

    async def report(self, shown_id: str, kind: str, **fields: Any) -> None:
        order, seq = self.order(shown_id), next(self._numbers)
        await self.oms.host.perform(
            VenueReport(
                report=ReportKind(kind),
                route_id=order.routes[-1].route_id,
                venue=VENUE,
                report_seq=seq,
                at=self.oms.clock.now_ns(),
                liquidity=Liquidity.TAKER,
                order_id=order.order_id,
                account=order.account,
                symbol=order.symbol,
                side=order.side,
                **fields,
            )
        )

    async def project(self) -> None:
        """Do what the projector does: follow the journal, and keep positions, and fills unless they lag."""
        book, rows, after = PositionBook(), list[EventRow](), 0
        async for batch in MemoryJournal(self.oms.log).follow(Head()):
            for entry in batch:
                events, seq = ORDER_COMMITS.read(entry).events, entry.head.seq
                rows += [EventRow(event=event, seq=seq, index=index) for index, event in enumerate(events)]
                changed = [position for event in events if (position := book.apply(event, seq))]
                await self.oms.positions.store(changed, after=after, seq=seq)
                after = seq
            if not self.lagging:
                await self.oms.fills.write(rows)

    async def fill(self, shown_id: str, quantity: str, price: str) -> None:
        """The venue trades a part of the order, and the projection shows it."""
        if not self.order(shown_id).routes:
            await self.route(shown_id)
        numbers = {"quantity": Decimal(quantity), "price": Decimal(price), "fee": Decimal(0)}
        await self.report(shown_id, "fill", exec_id=f"E{next(self._numbers)}", **numbers)


@asynccontextmanager
async def trading(*scopes: str, rate: int = 1000, **bounds: Any) -> AsyncIterator[tuple[AlpacaHouse, httpx.AsyncClient]]:
    """A facade, and a client with a key of alice: it may trade and read unless other scopes are given."""
    async with living(**bounds) as (oms, _):
        house = AlpacaHouse(oms)
        projecting = asyncio.create_task(house.project())
        async with house.http(house.key("alice", *(scopes or ("trade", "read")), rate=rate)) as client:
            yield house, client
        await cancelled(projecting)
