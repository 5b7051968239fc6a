"""Scenes on the real services: a client, a venue and its staff act, line by line; below stands what was heard of the order in FIX.

    submit buy 10 @100
    > A/A 0/0
    fill 4 @100
    > F/1
    = partially_filled cum=4 leaves=6

A line that begins with ">" names what was reported since the last one: ExecType/OrdStatus, 9 where the venue or risk refused. "=" is the
order as `GET /orders/{id}` shows it, "!" the refusal that the last request was answered: only the caller receives it. Between two
lines the world has time to come to rest.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from apps.http.app import Refusal
from apps.http.caller import LOCAL_CALLER
from apps.live_gateway.venue_host import VenueHost
from apps.live_gateway.views import order_view
from apps.oms.cancel import cancel
from apps.oms.expiry import OrderExpiry
from apps.oms.reads import OrderReads
from apps.oms.replace import NewTerms, ReplaceHandler
from domain.access.scopes import LOCAL
from domain.instruments import flags_denial, terms_denial
from domain.market.quotes import Quote
from domain.market.trading_hours import DAY_NS, DAY_S, SECOND_NS, Calendar
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.paper.events import BustTrade, CorrectTrade, Deed, ForcedFill, Forget, Halt, UnsolicitedCancel
from domain.paper.rules import PaperRules
from domain.values import AT_SESSIONS, OrderType, Side, TimeInForce, order_id_of, plain
from tests.exchange.transit import Transit
from tests.simulation import market
from tests.simulation.loop import VirtualLoop, run_virtually
from tests.simulation.quiet import everything_quiet
from tests.simulation.services import Exeq, Gateway, Ground, Oms, Process, RiskService
from tests.simulation.world import BEGIN_NS, World

REST_S = 0.4
OPENING_S = 5.0
VENUE = "PAPER_A"
DAY_ENDS_S = 22 * 3600 + 20 * 60
HOURS = Calendar(opens_s=DAY_ENDS_S, closes_s=DAY_ENDS_S + DAY_S)
"""A day without a break, which ends soon after a scene has begun."""


class QuietGateway(Gateway):
    """Shows only what a scene says, and behaves as long as a scene does."""

    transit: Transit

    def _host(self, name: str, publisher: Any) -> VenueHost:
        host = super()._host(name, publisher)
        host.settings = host.settings._replace(rules=PaperRules(calendar=HOURS))
        host._new_venue = lambda: VenueHost._new_venue(host)  # type: ignore[method-assign]
        host.venue = host._new_venue()
        if name == VENUE:
            self.transit = Transit(host)
            host.put = self.transit.put  # type: ignore[method-assign]
        return host

    async def _quotes(self) -> None:
        await asyncio.Event().wait()


class DoorsOfOms(Oms):
    """With the doors that a client uses."""

    async def begin(self) -> None:
        await super().begin()
        self.replaces = ReplaceHandler(self.host, self.risk, market.INSTRUMENTS, self.intake.forbidden)
        self.reads = OrderReads(self.host)
        self.expirer = OrderExpiry(self.host, self.clock, None, {market.SYMBOL: [HOURS]})
        sessions = self.host.on_ready

        def ready(is_ready: bool) -> None:
            sessions(is_ready)
            if is_ready:
                self.expirer.restart()

        self.host.on_ready, self.host.on_landed = ready, self.expirer.landed
        self.spawn(self.expirer.run())


class ExeqWithStops(Exeq):
    """Where stops sleep until their price is reached."""

    holds_stops = True


KINDS: dict[str, type[Process]] = {"gateway": QuietGateway, "risk": RiskService, "exeq": Exeq, "oms": DoorsOfOms}


class Floor:
    """One order, `a-1` of alice, and every service that handles it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.world = World(0, loop)
        self.ground = Ground(self.world)
        self.lives: dict[str, Any] = {}
        self.order_id = order_id_of("alice", "a-1")
        self.heard = 0
        self.answer: Any = None

    async def open(self, kinds: Mapping[str, type[Process]] = KINDS) -> None:
        self.kinds = kinds
        for name in kinds:
            await self.start(name)
        await asyncio.sleep(OPENING_S)

    async def start(self, name: str) -> None:
        process = self.lives[name] = self.kinds[name](self.ground)
        await process.start()

    @property
    def oms(self) -> DoorsOfOms:
        found = self.lives["oms"]
        assert isinstance(found, DoorsOfOms)
        return found

    @property
    def venue(self) -> VenueHost:
        hosts: dict[str, VenueHost] = self.lives["gateway"].hosts
        return hosts[VENUE]

    async def play(self, line: str) -> None:
        if line.startswith(">"):
            heard = await self._reported()
            assert heard == line[1:].split(), f"what was heard is {' '.join(heard)}"
        elif line.startswith("="):
            await self._expect(line[1:].split())
        elif line.startswith("!"):
            assert isinstance(self.answer, Refusal), f"it was not refused but answered {self.answer}"
            assert [str(self.answer.status), self.answer.code] == line[1:].split()
        else:
            verb, *words = line.split()
            await VERBS[verb](self, words)
            await asyncio.sleep(REST_S)

    async def _reported(self) -> list[str]:
        story = await self._in_oms(lambda: self.oms.reads.timeline(self.order_id, LOCAL_CALLER))
        said = [f"{line['exec_type']}/{line['ord_status']}" for line in story[self.heard :] if line["exec_type"] is not None]
        self.heard = len(story)
        return said or ["nothing"]

    async def _expect(self, words: list[str]) -> None:
        order = await self._in_oms(lambda: self.oms.reads.one(self.order_id, LOCAL_CALLER))
        assert order["status"] == words[0], f"it is {order['status']}"
        names = {"cum": "cum_quantity", "leaves": "leaves_quantity", "average": "average_price"}
        for word in words[1:]:
            name, _, value = word.partition("=")
            found = order[names.get(name, name)]
            assert (plain(found) if isinstance(found, Decimal) else str(found)) == value, f"{name} is {found}"

    async def _in_oms(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self.oms.run(ask())

    async def asked(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """What the client was answered, kept for `!`."""
        try:
            self.answer = await self._in_oms(ask)
        except Refusal as refusal:
            self.answer = refusal

    # Clients

    async def submit(self, words: list[str]) -> None:
        """`buy 10 @100 stop 101 ioc post reduce as a-2 show 2`; without a price a market order.

        `opg5-60`: for a session from 5 s to 60 s on.
        """
        side, quantity, *rest = words
        changes: dict[str, Any] = {}
        name = "a-1"
        while rest:
            word = rest.pop(0)
            if word.startswith("@"):
                changes["price"] = Decimal(word[1:])
            elif word == "stop":
                changes["stop_price"] = Decimal(rest.pop(0))
            elif word in ("post", "reduce"):
                changes[f"{word}_only"] = True
            elif word == "as":
                name = rest.pop(0)
            elif word == "show":
                changes["display_quantity"] = Decimal(rest.pop(0))
            elif word.startswith("gtd"):
                changes |= {"time_in_force": TimeInForce.GTD, "expire_at": self.oms.clock.now_ns() + int(float(word[3:]) * 1e9)}
            elif word.startswith(AT_SESSIONS):
                at, ends_at = (self.oms.clock.now_ns() + int(second) * SECOND_NS for second in word[3:].split("-"))
                changes |= {"time_in_force": TimeInForce(word[:3]), "auction": Auction(VENUE, at, ends_at)}
            else:
                changes["time_in_force"] = TimeInForce(word)
        kinds = {(False, False): "market", (True, False): "limit", (False, True): "stop", (True, True): "stop_limit"}
        terms = Terms(
            order_id=order_id_of("alice", name),
            account="alice",
            client_order_id=name,
            symbol=market.SYMBOL,
            side=Side(side),
            order_type=OrderType(kinds["price" in changes, "stop_price" in changes]),
            quantity=Decimal(quantity),
            **changes,
        )
        instrument = market.INSTRUMENTS[market.SYMBOL]
        denial = terms_denial(instrument, terms.order_type, terms.quantity, terms.price, terms.stop_price, reduce_only=terms.reduce_only)
        denial = denial or flags_denial(terms.order_type, terms.time_in_force, terms.post_only)
        await self.asked(lambda: self.oms.intake.submit(terms, denial, by=LOCAL))

    async def cancel(self, words: list[str]) -> None:
        """The order, or another one by its name."""
        order_id = order_id_of("alice", words[0]) if words else self.order_id
        await self.asked(lambda: self._cancelled(order_id))

    async def _cancelled(self, order_id: str) -> Any:
        return await cancel(self.oms.host, await self.oms.reads.find(order_id, LOCAL_CALLER), by=LOCAL)

    async def replace(self, words: list[str]) -> None:
        """`12`, `@101`, `stop 99`: what is not said stays."""
        quantity, price, stop = None, None, None
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "stop":
                stop = Decimal(rest.pop(0))
            elif word.startswith("@"):
                price = Decimal(word[1:])
            else:
                quantity = Decimal(word)
        order = await self.oms.reads.find(self.order_id, LOCAL_CALLER)
        await self.asked(lambda: self.oms.replaces.replace(order, NewTerms(quantity, price, stop), by=LOCAL))

    # The venue and its staff

    async def quote(self, words: list[str]) -> None:
        """`5x99 5x100`"""
        (bid_size, bid), (ask_size, ask) = (tuple(map(Decimal, word.split("x"))) for word in words)
        shown = Quote(symbol=market.SYMBOL, venue="", bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, at=0)
        self.venue.show(shown, self.venue._clock.now_ns())

    async def shows(self, words: list[str]) -> None:
        """`2`: what the venue shows of the order."""
        found = order_view(self.venue.venue.orders[self.route_id()])["displayed_quantity"]
        assert found == Decimal(words[0]), f"it shows {found}"

    async def do(self, deed: Deed) -> None:
        await self.lives["gateway"].run(self.venue.do(deed))

    def route_id(self) -> str:
        return next(name for name, order in self.venue.venue.orders.items() if order.request.order_id == self.order_id)

    async def fill(self, words: list[str]) -> None:
        await self.do(ForcedFill(self.route_id(), Decimal(words[0]), Decimal(words[1][1:])))

    async def bust(self, words: list[str]) -> None:
        await self.do(BustTrade(f"{VENUE}-{words[0]}"))

    async def correct(self, words: list[str]) -> None:
        await self.do(CorrectTrade(f"{VENUE}-{words[0]}", Decimal(words[1]), Decimal(words[2][1:])))

    async def end(self, words: list[str]) -> None:
        await self.do(UnsolicitedCancel(self.route_id(), words[0]))

    async def forget(self, words: list[str]) -> None:
        if words:
            self.venue.faults.requests("forget", int(words[0]), "fault")
        else:
            await self.do(Forget(self.route_id()))

    async def halt(self, words: list[str]) -> None:
        await self.do(Halt(market.SYMBOL))

    async def resume(self, words: list[str]) -> None:
        await self.do(Halt(market.SYMBOL, resume=True))

    async def refuse(self, words: list[str]) -> None:
        """The next new order, for this reason."""
        self.venue.faults.requests("reject", 1, words[0])

    async def freeze(self, words: list[str]) -> None:
        self.venue.faults.freeze(float(words[0]))

    async def wire(self, words: list[str]) -> None:
        """`drop 1`, `duplicate 2`, `reorder 1`, `delay 1`: the next reports."""
        self.venue.faults.wire(words[0], int(words[1]), 0.05)  # type: ignore[arg-type]

    # The world

    async def hold(self, words: list[str]) -> None:
        """Cancels and replaces are long on their way."""
        self.lives["gateway"].transit.held = []

    async def overtake(self, words: list[str]) -> None:
        """Orders are long on their way; cancels and replaces are not."""
        self.lives["gateway"].transit.overtaken = []

    async def lose(self, words: list[str]) -> None:
        """Cancels and replaces do not arrive."""
        self.lives["gateway"].transit.loses = True

    async def cut(self, words: list[str]) -> None:
        """These two do not hear each other."""
        self.world.weather = msgspec.structs.replace(self.world.weather, apart=frozenset({(words[0], words[1])}))

    async def mend(self, words: list[str]) -> None:
        self.world.weather = msgspec.structs.replace(self.world.weather, apart=frozenset())
        await self.lives["gateway"].transit.mend()
        await asyncio.sleep(4)

    async def kill(self, words: list[str]) -> None:
        self.lives[words[0]].die()

    async def restart(self, words: list[str]) -> None:
        if self.lives[words[0]].alive:
            self.lives[words[0]].die()
        await self.start(words[0])
        await asyncio.sleep(OPENING_S)

    async def wait(self, words: list[str]) -> None:
        await asyncio.sleep(float(words[0]))

    async def skew(self, words: list[str]) -> None:
        """The wall clock of a process is wrong by this many seconds."""
        self.lives[words[0]].clock.skew_ns = int(words[1]) * SECOND_NS

    async def timed(self, words: list[str]) -> None:
        """Orders are withdrawn after this many seconds."""
        self.oms.expirer._timeout_ns = int(words[0]) * 10**9

    async def overnight(self, words: list[str]) -> None:
        """Into the next day."""
        now = BEGIN_NS + int(asyncio.get_running_loop().time() * 1e9)
        ends = now // DAY_NS * DAY_NS + DAY_ENDS_S * SECOND_NS
        await asyncio.sleep((ends - now) / 1e9 + 1)


VERBS: dict[str, Callable[[Floor, list[str]], Coroutine[Any, Any, None]]] = {
    verb.__name__: verb
    for verb in (
        Floor.submit,
        Floor.cancel,
        Floor.replace,
        Floor.quote,
        Floor.shows,
        Floor.fill,
        Floor.bust,
        Floor.correct,
        Floor.end,
        Floor.forget,
        Floor.halt,
        Floor.resume,
        Floor.refuse,
        Floor.freeze,
        Floor.wire,
        Floor.hold,
        Floor.overtake,
        Floor.lose,
        Floor.cut,
        Floor.mend,
        Floor.kill,
        Floor.restart,
        Floor.wait,
        Floor.skew,
        Floor.timed,
        Floor.overnight,
    )
}


def play(scene: str, floor: type[Floor] = Floor, **others: type[Process]) -> None:
    """The whole scene, on a floor of its own. The first line that does not hold fails with its number."""

    async def main(loop: VirtualLoop) -> None:
        opened = floor(loop)
        with everything_quiet(opened.world):
            try:
                await opened.open(KINDS | others)
                await _played(opened, scene)
                assert not opened.world.violations, opened.world.violations
            finally:
                for process in opened.lives.values():
                    process.die()
                await asyncio.sleep(1)

    run_virtually(main)


async def _played(floor: Floor, scene: str) -> None:
    for number, line in enumerate(scene.strip().splitlines(), 1):
        if line.strip():
            try:
                await floor.play(line.strip())
            except AssertionError as error:
                raise AssertionError(f"line {number}: {line.strip()}\n  {error}") from error
