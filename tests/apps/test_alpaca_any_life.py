"""Any life of an order, also an unlawful one: what its updates promise a client holds for each, wherever the client begins to listen."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from adapters.codec import ORDER_COMMITS
from apps.oms.alpaca.update_fold import FoldedAccount, UpdateFold
from domain.order.holdings import Holdings
from domain.ports import Head, JournalEntry
from tests import given, table
from tests.apps.test_alpaca_updates import Commits, Stream, shown

SEEDS: Final = 60
"""Lives of `make test`; the module runs more: python -m tests.apps.test_alpaca_any_life."""
STEPS: Final = 25
WORDS: Final = frozenset(
    (
        *("new", "partially_filled", "filled", "done_for_day", "canceled", "expired", "replaced", "pending_cancel", "pending_replace"),
        *("accepted", "pending_new", "accepted_for_bidding", "stopped", "rejected", "suspended", "calculated", "held"),
    )
)
"""The statuses that Alpaca has."""


def steps(seed: int) -> Iterator[str]:
    """A submit, and then any other step, in any order."""
    chance = random.Random(seed)
    yield "submit buy 10 @50"
    for trades in range(1, STEPS + 1):
        quantity, price = chance.randint(1, 6), chance.randint(48, 52)
        yield chance.choice(
            (
                *("route PAPER_A", "route PAPER_A:6 PAPER_B:4", f"ack V{trades}", f"ack V{trades} R2", "doubt R1", "confirm R1"),
                *(f"fill F{trades} {quantity} @{price}",) * 4,
                *(f"bust F{chance.randint(1, trades)}", f"correct F{trades} F{chance.randint(1, trades)} {quantity} @{price}"),
                *("cancel", "venue_cancelled", "cancel_rejected too_late", "venue_cancelled R2", "reject why", "expire order_timeout"),
                *(f"replace {quantity + 8} @{price} checked",) * 3,
                *(f"replaced {quantity + 8} @{price}",) * 3,
                *("replace_rejected too_late", "no_route no_venue"),
            )
        )


async def lived(seed: int) -> Stream:
    stream = Stream()
    for line in steps(seed):
        if not (line.startswith("route") and stream.scene.order is not None and stream.scene.order.routes):
            await stream.land(table.command(line, stream.scene.order, stream.scene.report_seq + 1))
    return stream


async def heard_from(stream: Stream, since: int) -> list[dict[str, Any]]:
    """What a client gets that listens behind this commit: its order is loaded as it was then."""
    past = Commits()
    past.events = stream.past.events
    trades = [event for seq, events in past.events.items() if seq <= since for event in events]
    holdings = Holdings()
    for event in trades:
        if type(event).__name__ in ("OrderFilled", "TradeBusted"):
            holdings.apply(event)  # type: ignore[arg-type]
    fold = UpdateFold({given.ACCOUNT: FoldedAccount(holdings, since)}, past, shown)
    found: list[dict[str, Any]] = []
    for seq in range(since + 1, stream.seq + 1):
        entry = JournalEntry(Head(seq, seq), ORDER_COMMITS.encode(0, seq, past.events[seq]))
        found += [json.loads(frame)["data"] for _, frame in await fold.updates(entry)]
    return found


async def check(seed: int) -> None:
    stream = await lived(seed)
    sent = stream.all
    assert sent[0]["event"] == "accepted"
    assert len({update["execution_id"] for update in sent}) == len(sent), "no update is taken for another"
    new: set[str] = set()
    held = Decimal(0)
    for update in sent:
        order, event = update["order"], update["event"]
        assert order["status"] in WORDS
        if event == "new":
            assert order["id"] not in new, "once for each generation"
            new.add(order["id"])
        if event in ("partial_fill", "fill"):
            assert order["id"] in new, "sent before the first fill"
            held += Decimal(update["qty"])
        if event == "trade_bust":
            held -= Decimal(update["qty"])
        if event == "trade_correct":
            held = Decimal(update["position_qty"])
        if "position_qty" in update:
            assert Decimal(update["position_qty"]) == held
            assert held == Decimal(order["filled_qty"]), "one order alone makes this position"
        if event == "replaced":
            assert (order["status"], order["replaced_by"] is not None) == ("replaced", True)
    assert stream.scene.order is not None
    assert held == stream.scene.order.cum_quantity
    for since in range(0, stream.seq, 3):
        assert await heard_from(stream, since) == [update for update in sent if update["seq"] > since], since


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_whatever_happens_to_an_order_its_updates_keep_their_promises(seed: int) -> None:
    await check(seed)


async def many(count: int) -> None:
    for seed in range(count):
        try:
            await check(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    print(f"{count} lives")


if __name__ == "__main__":
    import asyncio
    import sys

    from domain.values import use_exact_arithmetic

    use_exact_arithmetic()
    asyncio.run(many(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
