"""Old facts in new programs, new facts in old ones: read in today's words, or refused in a clear sentence."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from adapters.codec import ORDER_COMMITS, CommitCodec
from adapters.memory import MemoryJournal
from apps.journal.subscription import Applied, JournalSubscription
from domain.order import events as e
from domain.order.upcasters import VERSION, Upcasters, upcast
from domain.ports import Corrupt, Head
from tests.contracts.facts import queued, submitted


def _quantity_was_qty(event: dict[str, Any]) -> dict[str, Any]:
    event["quantity"] = event.pop("qty")
    return event


def _prices_were_text(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "price": Decimal(event["price"])}


def _was_called_enqueued(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "type": "OrderQueued"}


MADE_UP: Upcasters = {
    (-1, "OrderSubmitted"): _prices_were_text,
    (0, "OrderSubmitted"): _quantity_was_qty,
    (0, "OrderEnqueued"): _was_called_enqueued,
}
TODAY: CommitCodec[e.OrderEvent] = CommitCodec(e.OrderEvent, oldest=0, upcasters=MADE_UP)


def old(*events: str, v: int = 0, n: int = 7) -> bytes:
    return f'{{"v":{v},"shard":0,"n":{n},"events":[{",".join(events)}]}}'.encode()


SUBMITTED = (
    '{"type":"OrderSubmitted","order_id":"O1","at":1700000000123456789,"status":"new","account":"alice","client_order_id":"client-O1",'
    '"symbol":"BTCUSDT","side":"buy","order_type":"limit","qty":10,"price":64250.123456789012}'
)
ENQUEUED = '{"type":"OrderEnqueued","order_id":"O1","at":1700000000123456789,"status":"queued"}'


def test_an_old_commit_is_read_in_todays_words_to_the_last_digit() -> None:
    # FAILURES 52
    commit = TODAY.decode(old(SUBMITTED, ENQUEUED))
    first, second = commit.events
    assert (commit.v, commit.n, second) == (VERSION, 7, queued("O1"))
    assert isinstance(first, e.OrderSubmitted)
    assert (first.quantity, str(first.price), first.at) == (Decimal(10), "64250.123456789012", 1_700_000_000_123_456_789)


def test_an_event_goes_through_every_version_between() -> None:
    event = {"type": "OrderSubmitted", "qty": 10, "price": "1.50"}
    assert upcast(event, -1, MADE_UP) == {"type": "OrderSubmitted", "quantity": 10, "price": Decimal("1.50")}
    assert event == {"type": "OrderSubmitted", "qty": 10, "price": "1.50"}, "an upcaster works on its own copy"
    assert upcast(event, VERSION, MADE_UP) == event


def test_an_old_commit_in_todays_words_is_old_all_the_same() -> None:
    """The number decides, not whether the words happen to fit: one of them may have meant something else."""
    fits = json.loads(ORDER_COMMITS.encode(0, 7, (queued("O1"),))) | {"v": 0}
    codec: CommitCodec[e.OrderEvent] = CommitCodec(
        e.OrderEvent, oldest=0, upcasters={(0, "OrderQueued"): lambda x: {**x, "order_id": "O2"}}
    )
    assert codec.decode(json.dumps(fits).encode()).events == (queued("O2"),)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (old(v=2), "commit 7 has version 2, this program reads 1 to 1; a newer program wrote it: start that one"),
        (old('{"type":"OrderTeleported","to":"mars"}', v=2), "commit 7 has version 2, this program reads 1 to 1; a newer program wrote it"),
        (old(v=0), "commit 7 has version 0, this program reads 1 to 1; no upcasters lead from there"),
        (old('{"type":"OrderTeleported"}', v=1), "commit 7 cannot be read: Invalid value 'OrderTeleported'"),
        (old('{"type":"OrderQueued","order_id":"O1","at":1,"status":"queued","extra":1}', v=1), "commit 7 cannot be read: .*unknown field"),
        (b"not json", "a commit cannot be read"),
        (b"\xff\xfe", "a commit cannot be read"),
        (b"[]", "a commit cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_clear_sentence(payload: bytes, sentence: str) -> None:
    # FAILURES 45, 53
    with pytest.raises(Corrupt, match=sentence):
        ORDER_COMMITS.decode(payload)


def test_an_upcaster_that_does_not_fit_is_named_with_its_commit() -> None:
    with pytest.raises(Corrupt, match=r"commit 7 of version 0 cannot be converted to version 1: KeyError\('qty'\)"):
        TODAY.decode(old(SUBMITTED.replace("qty", "amount")))
    with pytest.raises(Corrupt, match="commit 7 of version 0 cannot be converted to version 1: ValidationError"):
        TODAY.decode(old(SUBMITTED.replace('"buy"', '"bye"')))


async def test_a_reader_stops_at_a_commit_of_a_newer_program_and_applies_nothing_of_it() -> None:
    # FAILURES 53
    journal, applied = MemoryJournal(), list[int]()
    head = await journal.append(ORDER_COMMITS.encode(0, 1, (submitted("O1"), queued("O1"))), Head())
    reader = asyncio.create_task(_follow(journal, applied))
    await asyncio.sleep(0.02)
    await journal.append(old(ENQUEUED, v=VERSION + 1, n=2), head)
    with pytest.raises(Corrupt, match="commit 2 has version 2, this program reads 1 to 1; a newer program wrote it: start that one"):
        await asyncio.wait_for(reader, 120)
    assert applied == [1]


async def _follow(journal: MemoryJournal, applied: list[int]) -> None:
    def apply(commits: Applied[e.OrderEvent]) -> None:
        applied.extend(seq for seq, _ in commits)

    await JournalSubscription(journal, ORDER_COMMITS, apply, after=Head(), wait_s=0).run()
