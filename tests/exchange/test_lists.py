"""Lists on the real services: the entry and its exits at a venue, the stop in exeq, and what goes wrong between them.

bracket buy 10 @100 take 104 stop 97        (the entry is a-1, the exits are tp and sl)
list entry=routed:10 tp=risk_checked:10 sl=risk_checked:10
"""

import asyncio
from decimal import Decimal

import pytest

from domain.access.scopes import LOCAL
from domain.groups.status import flags_of, status_of
from domain.order.commands import ListTerms, Terms
from domain.order.group import ListType, Role, Trigger, list_id_of
from domain.order.order import Order
from domain.values import OrderType, Side, opposite, order_id_of, plain
from tests.exchange.floor import REST_S, ExeqWithStops, Floor, play
from tests.simulation import market

NAMES = {"entry": "a-1", "tp": "tp", "sl": "sl"}


class ListFloor(Floor):
    """A floor with one list."""

    async def play(self, line: str) -> None:
        verb, *words = line.split()
        if verb == "bracket":
            await self.bracket(words)
            await asyncio.sleep(REST_S)
        elif verb == "list":
            assert self._standing() == words, " ".join(self._standing())
        elif verb == "flags":
            lead, members = self._list()
            assert lead.group is not None
            assert [*flags_of(lead.group, members)] == words, flags_of(lead.group, members)
        elif verb == "status":
            lead, members = self._list()
            assert lead.group is not None
            assert [str(status_of(lead.group, members)), lead.group.ended][: len(words)] == words
        elif verb == "trade":
            await self.trade(words)
            await asyncio.sleep(REST_S)
        elif verb == "cancel_list":
            lead, _ = self._list()
            await self.asked(lambda: self.oms.lists.cancel(lead, exits="exits" in words, by=LOCAL))
            await asyncio.sleep(REST_S)
        else:
            await super().play(line)

    async def bracket(self, words: list[str]) -> None:
        side, quantity, price, _, take, _, stop, *rest = words
        strict = "fast" not in rest
        list_id = list_id_of("alice", "l-1")
        entry, out = Side(side), opposite(Side(side))
        legs = [
            self._leg("a-1", Role.ENTRY, entry, quantity, price[1:], None, list_id),
            self._leg("tp", Role.TAKE_PROFIT, out, quantity, take, None, list_id),
            self._leg("sl", Role.STOP_LOSS, out, quantity, None, stop, list_id, strict=strict),
        ]
        asked = ListTerms(
            list_id=list_id, account="alice", client_list_id="l-1", kind=ListType.BRACKET, trigger=Trigger.PARTIAL, strict=strict
        )
        await self.asked(lambda: self.oms.lists.submit(asked, legs, None, by=LOCAL))
        assert not isinstance(self.answer, Exception), self.answer

    def _leg(
        self, name: str, role: Role, side: Side, quantity: str, price: str | None, stop: str | None, list_id: str, *, strict: bool = False
    ) -> Terms:
        return Terms(
            order_id=order_id_of("alice", name),
            account="alice",
            client_order_id=name,
            symbol=market.SYMBOL,
            side=side,
            order_type=OrderType.STOP if price is None else OrderType.LIMIT,
            quantity=Decimal(quantity),
            price=None if price is None else Decimal(price),
            stop_price=None if stop is None else Decimal(stop),
            group_id=list_id,
            role=str(role),
            exclusive=strict,
        )

    async def trade(self, words: list[str]) -> None:
        """`tp 4 @104`: a trade of this member."""
        before, self.order_id = self.order_id, order_id_of("alice", NAMES[words[0]])
        try:
            await self.fill(words[1:])
        finally:
            self.order_id = before

    def _list(self) -> tuple[Order, dict[str, Order]]:
        members = self.oms.host.book.members(list_id_of("alice", "l-1"))
        return next(order for order in members.values() if order.group is not None), members

    def _standing(self) -> list[str]:
        lead, members = self._list()
        assert lead.group is not None
        last = [members[slot[-1]] for slot in lead.group.slots]
        return [f"{name}={order.status}:{plain(order.leaves_quantity)}" for name, order in zip(NAMES, last, strict=True)]


SCENES = {
    "the take profit rests at the venue and the stop sleeps": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        list entry=routed:10 tp=risk_checked:10 sl=risk_checked:10
        fill 3 @100
        list entry=partially_filled:7 tp=routed:3 sl=queued:3
        fill 4 @100
        fill 3 @100
        list entry=filled:0 tp=routed:10 sl=queued:10
        trade tp 10 @104
        list entry=filled:0 tp=filled:0 sl=cancelled:0
        status done filled""",
    "the market comes to the stop": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        fill 10 @100
        list entry=filled:0 tp=routed:10 sl=queued:10
        quote 50x97 50x98
        list entry=filled:0 tp=cancelled:0 sl=filled:0
        flags
        status done filled""",
    "the take profit trades a part, and then the market comes to the stop": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        fill 10 @100
        trade tp 4 @104
        list entry=filled:0 tp=partially_filled:6 sl=queued:6
        quote 50x97 50x98
        list entry=filled:0 tp=cancelled:0 sl=filled:0
        status done filled""",
    "protection goes first when the venue does not answer the cancel": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        fill 10 @100
        lose
        quote 50x97 50x98
        wait 1
        list entry=filled:0 tp=pending_cancel:10 sl=filled:0
        flags forced
        status alert""",
    "a stop that waits outlives oms and exeq": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        fill 10 @100
        hold
        quote 50x97 50x98
        restart exeq
        restart oms
        mend
        list entry=filled:0 tp=cancelled:0 sl=filled:0""",
    "oms dies between the trade of the entry and what follows": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        kill oms
        fill 6 @100
        restart oms
        list entry=partially_filled:4 tp=routed:6 sl=queued:6""",
    "a list is cancelled, and what protects a position stays": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        fill 3 @100
        cancel_list
        list entry=cancelled:0 tp=routed:3 sl=queued:3
        cancel_list exits
        list entry=cancelled:0 tp=cancelled:0 sl=cancelled:0
        status done cancelled""",
    "with fast both exits rest, and both may trade": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97 fast
        fill 10 @100
        list entry=filled:0 tp=routed:10 sl=queued:10
        trade tp 10 @104
        list entry=filled:0 tp=filled:0 sl=cancelled:0""",
    "a bust of the entry shrinks the exits": """
        quote 50x99 50x101
        bracket buy 10 @100 take 104 stop 97
        fill 6 @100
        fill 4 @100
        list entry=filled:0 tp=routed:10 sl=queued:10
        bust 2
        list entry=partially_filled:4 tp=routed:6 sl=queued:6""",
}


@pytest.mark.parametrize("name", SCENES)
def test_what_happens_to_a_bracket(name: str) -> None:
    play(SCENES[name], floor=ListFloor, exeq=ExeqWithStops)
