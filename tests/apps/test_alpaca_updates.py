"""Which updates a client of the Alpaca stream is sent for the life of an order, each with the order as of its event."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pytest
from msgspec import structs

from adapters.codec import ORDER_COMMITS
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.ids import execution_id, shown_id
from apps.oms.alpaca.orders import AlpacaOrder, order_of
from apps.oms.alpaca.update_fold import FoldedAccount, UpdateFold
from domain.order import commands as c
from domain.order import events as e
from domain.order.holdings import Holdings
from domain.order.index import note
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.ports import Head, JournalEntry
from tests import given, table
from tests.apps.submits import INSTRUMENTS

ASSETS: Final = AssetBook(INSTRUMENTS.values())
FILL: Final = ("price", "qty", "position_qty")


def shown(order: Order, generation: int) -> AlpacaOrder:
    return order_of(order, ASSETS.of(order.symbol), generation)


class Commits:
    """The commits of a scene, from which an order that has left memory is loaded."""

    def __init__(self) -> None:
        self.events: dict[int, list[e.OrderEvent]] = {}

    async def account_of(self, order_id: str) -> str | None:
        return given.ACCOUNT if order_id == given.ORDER_ID else None

    async def before(self, order_id: str, seq: int) -> Order | None:
        order: Order | None = None
        for at, events in self.events.items():
            for event in events if at < seq else ():
                order = evolve(order, event)
                note(order, at)
        return order


class Stream:
    """One order and what its account is sent. A line that begins with `~` is that, for the commit of the line before."""

    def __init__(self, held: str = "0") -> None:
        holdings = Holdings({(given.ACCOUNT, given.SYMBOL): Decimal(held)} if held != "0" else {})
        self.scene = table.Scene()
        self.past = Commits()
        self.fold = UpdateFold({given.ACCOUNT: FoldedAccount(holdings, 0)}, self.past, shown)
        self.seq = 0
        self.sent: list[dict[str, Any]] = []
        self.all: list[dict[str, Any]] = []

    async def play(self, text: str) -> "Stream":
        for number, line in enumerate(text.strip().splitlines(), 1):
            line = line.strip()
            if line.startswith("~"):
                found = ", ".join(" ".join(words(update)) for update in self.sent) or "nothing"
                assert found == line[1:].strip(), f"line {number}: {line}"
            else:
                await self.land(table.command(line, self.scene.order, self.scene.report_seq + 1))
        return self

    async def land(self, *commands: c.OrderCommand) -> None:
        """What follows from these commands, in one commit."""
        await self.commit([event for command in commands for event in self.scene.do(command)])

    async def commit(self, events: list[e.OrderEvent]) -> None:
        self.seq += 1
        self.past.events[self.seq] = events
        payload = ORDER_COMMITS.encode(0, self.seq, events)
        found = await self.fold.updates(JournalEntry(Head(self.seq, self.seq), payload))
        assert all(account == given.ACCOUNT for account, _ in found)
        self.sent = [json.loads(frame)["data"] for _, frame in found]
        self.all += self.sent


def words(update: Mapping[str, Any]) -> list[str]:
    """An update in short: event, status of the order, what is filled, and the trade."""
    order = update["order"]
    filled = [f"filled={order['filled_qty']}"] if order["filled_qty"] != "0" else []
    trade = [f"{update['qty']}@{update['price']}", f"held={update['position_qty']}"] if "qty" in update else []
    return [update["event"], order["status"], *filled, *trade]


SCENES: Final = {
    "a whole life": """
        submit buy 10 @50
        ~ accepted accepted
        route PAPER_A
        ~ pending_new pending_new
        ack V1
        ~ new new
        fill F1 4 @49
        ~ partial_fill partially_filled filled=4 4@49 held=4
        fill F2 6 @50
        ~ fill filled filled=10 6@50 held=10""",
    "a fill before the acknowledgement": """
        submit buy 10 @50
        ~ accepted accepted
        route PAPER_A
        ~ pending_new pending_new
        fill F1 10 @50
        ~ new new, fill filled filled=10 10@50 held=10
        ack V1
        ~ nothing""",
    "a partial fill before the acknowledgement": """
        submit buy 10 @50
        route PAPER_A
        fill F1 4 @50
        ~ new new, partial_fill partially_filled filled=4 4@50 held=4
        ack V1
        ~ nothing""",
    "two venues": """
        submit buy 10 @50
        route PAPER_A:6 PAPER_B:4
        ~ pending_new pending_new
        ack V1
        ~ new new
        ack V2 R2
        ~ nothing
        fill F1 6 @50
        ~ partial_fill partially_filled filled=6 6@50 held=6
        venue_cancelled R2
        ~ canceled canceled filled=6""",
    "refused by risk": """
        submit buy 10 @50 denied position_limit
        ~ rejected rejected""",
    "refused by its venue": """
        submit buy 10 @50
        route PAPER_A
        reject unknown_symbol
        ~ nothing
        no_route no_venue
        ~ rejected rejected""",
    "no route": """
        submit buy 10 @50
        no_route no_venue
        ~ rejected rejected""",
    "cancelled before it is routed": """
        submit buy 10 @50
        cancel
        ~ canceled canceled""",
    "cancelled at its venue": """
        submit buy 10 @50
        route PAPER_A
        ack V1
        cancel
        ~ pending_cancel pending_cancel
        venue_cancelled
        ~ canceled canceled""",
    "a cancel that comes too late": """
        submit buy 10 @50
        route PAPER_A
        ack V1
        cancel
        ~ pending_cancel pending_cancel
        fill F1 10 @50
        ~ fill filled filled=10 10@50 held=10""",
    "a cancel that is refused": """
        submit buy 10 @50
        route PAPER_A
        ack V1
        cancel
        cancel_rejected too_late
        ~ order_cancel_rejected new""",
    "a fill after the cancel": """
        submit buy 10 @50
        route PAPER_A
        ack V1
        cancel
        venue_cancelled
        fill F1 4 @50
        ~ partial_fill canceled filled=4 4@50 held=4""",
    "expired": """
        submit buy 10 @50
        expire order_timeout
        ~ expired expired""",
    "in doubt": """
        submit buy 10 @50
        route PAPER_A
        doubt R1
        ~ nothing
        ack V1
        ~ new new""",
    "a trade that is taken back": """
        submit buy 10 @50
        route PAPER_A
        ack V1
        fill F1 4 @49
        bust F1
        ~ trade_bust new 4@49 held=0""",
    "a trade that is corrected is one update": """
        submit buy 10 @50
        route PAPER_A
        ack V1
        fill F1 4 @49
        correct F2 F1 3 @48
        ~ trade_correct partially_filled filled=3 3@48 held=3""",
    "sold short": """
        submit sell 10 @50
        route PAPER_A
        ack V1
        fill F1 4 @50
        ~ partial_fill partially_filled filled=4 4@50 held=-4""",
}


@pytest.mark.parametrize("text", SCENES.values(), ids=SCENES.keys())
async def test_each_event_has_its_updates_with_the_order_as_of_it(text: str) -> None:
    await Stream().play(text)


async def test_a_stop_that_no_venue_has_yet_works_from_now_on_and_is_new_once() -> None:
    stream = Stream()
    asked = given.terms("10", None, order_type="stop")
    await stream.land(given.submit(structs.replace(asked, stop_price=Decimal(55))))
    assert [words(update) for update in stream.sent] == [["accepted", "new"], ["new", "new"]]
    await stream.play("""
        trigger PAPER_A @55
        ~ nothing
        route PAPER_A
        ~ pending_new pending_new
        ack V1
        ~ nothing
        fill F1 10 @55
        ~ fill filled filled=10 10@55 held=10""")


async def test_a_replace_closes_the_old_id_and_opens_the_next_which_is_new_once() -> None:
    stream = await Stream().play("""
        submit buy 10 @50
        route PAPER_A
        ack V1
        replace 12 @51 checked
        ~ pending_replace pending_replace
        replaced 12 @51
        ~ replaced replaced, new new
        fill F1 12 @51
        ~ fill filled filled=12 12@51 held=12""")
    old, new = shown_id(given.ORDER_ID), shown_id(given.ORDER_ID, 1)
    ids = [(update["event"], update["order"]["id"]) for update in stream.all]
    assert ids[-4:] == [("pending_replace", old), ("replaced", old), ("new", new), ("fill", new)]
    replaced, begun = stream.all[-3]["order"], stream.all[-2]["order"]
    assert (replaced["replaced_by"], replaced["qty"], replaced["limit_price"]) == (new, "10", "50")
    assert (begun["replaces"], begun["qty"], begun["limit_price"]) == (old, "12", "51")


async def test_a_replace_that_no_venue_was_asked_for_has_the_updates_of_one_that_was() -> None:
    stream = await Stream().play("""
        submit buy 10 @50
        replace 8
        ~ replaced replaced, new accepted
        route PAPER_A
        ~ pending_new pending_new
        ack V1
        ~ nothing""")
    assert [update["order"]["id"] for update in stream.sent or stream.all[-1:]] == [shown_id(given.ORDER_ID, 1)]


async def test_a_replace_that_is_refused_leaves_the_old_id() -> None:
    stream = await Stream().play("""
        submit buy 10 @50
        route PAPER_A
        ack V1
        replace 12 @51 checked
        replace_rejected too_late
        ~ order_replace_rejected new
        fill F1 10 @50
        ~ fill filled filled=10 10@50 held=10""")
    assert {update["order"]["id"] for update in stream.all} == {shown_id(given.ORDER_ID)}


async def test_several_events_of_one_commit_are_sent_one_by_one() -> None:
    stream = await Stream().play("submit buy 10 @50\nroute PAPER_A")
    await stream.land(
        given.report("accepted", venue_order_id="V1", report_seq=1),
        given.fill("F1", "4", "50", report_seq=2),
        given.fill("F2", "6", "50", report_seq=3),
    )
    assert [" ".join(words(update)) for update in stream.sent] == [
        "new new",
        "partial_fill partially_filled filled=4 4@50 held=4",
        "fill filled filled=10 6@50 held=10",
    ]
    assert {update["seq"] for update in stream.sent} == {stream.seq}
    assert [update.get("more") for update in stream.sent] == [True, True, None], "one may continue from the sequence of the last"


async def test_an_order_that_is_submitted_among_others_is_accepted_once() -> None:
    stream = Stream()
    own = stream.scene.do(given.submit(given.terms()))
    other = [structs.replace(event, order_id="f" * 32) for event in own]
    await stream.commit([each for pair in zip(own, other, strict=True) for each in pair])
    assert [(update["event"], update["order"]["id"]) for update in stream.sent] == [
        ("accepted", shown_id(given.ORDER_ID)),
        ("accepted", shown_id("f" * 32)),
    ]


async def test_every_update_has_an_id_of_its_own_and_a_fill_that_of_its_trade() -> None:
    stream = await Stream().play("""
        submit buy 10 @50
        route PAPER_A
        fill F1 4 @49
        correct F2 F1 3 @48
        bust F2""")
    ids = [update["execution_id"] for update in stream.all]
    assert len(set(ids)) == len(ids)
    fill, correct, bust = stream.all[-3:]
    first, second = execution_id("PAPER_A", "F1"), execution_id("PAPER_A", "F2")
    assert (fill["execution_id"], correct["execution_id"], correct["previous_execution_id"]) == (first, second, first)
    assert (bust["event"], bust["previous_execution_id"]) == ("trade_bust", second)
    again = await Stream().play("submit buy 10 @50\nroute PAPER_A\nfill F1 4 @49\ncorrect F2 F1 3 @48\nbust F2")
    assert [update["execution_id"] for update in again.all] == ids, "the same in every process"
    assert all(key in fill for key in FILL)
    assert not any(key in stream.all[0] for key in FILL)


async def test_what_was_held_before_counts() -> None:
    stream = await Stream(held="-2.5").play("submit buy 10 @50\nroute PAPER_A\nfill F1 4 @50")
    assert [update.get("position_qty") for update in stream.sent] == [None, "1.5"]


async def test_events_of_no_order_and_reports_that_fit_none_make_no_update() -> None:
    stream = Stream()
    unknown = e.ReportQuarantined(order_id="x", at=1, status=State.NEW, reason="unknown_order", venue="PAPER_A", report="{}")
    await stream.commit([e.ShardHeld(at=1, unit="unit"), unknown])
    assert stream.sent == []
