"""Streams for tests of the archive: messages as a journal has them, the stream that they come from, and a directory as their archive."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from adapters import subjects
from adapters.archive_place import ArchivePlace
from adapters.chain import following
from adapters.codec import ORDER_COMMITS
from adapters.journalcopy import Copied
from adapters.objects import Objects
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.ports import ArchiveRow
from domain.order.decider import decide
from domain.ports import Head
from domain.values import order_id_of
from tests import given

ORDERS = subjects.ORDER_STREAM
VENUES = subjects.VENUE_STREAM
DAY_NS = 86_400 * 10**9
SIZE = 10
"""The sequences of a full range."""
FIRST_DAY, SECOND_DAY = "2023-11-14", "2023-11-15"


class FakeStream:
    """A stream on no server: commits are appended, each chained to the one before it on its subject. Port: ArchivedJournals."""

    def __init__(self, stream: str = ORDERS) -> None:
        self.stream = stream
        self.messages: list[Copied] = []
        self.heads: dict[str, Head] = {}

    def put(self, subject: str, payload: bytes) -> None:
        head, seq = self.heads.get(subject, Head()), len(self.messages) + 1
        chain = following(head, payload)
        self.heads[subject] = Head(seq, head.n + 1, chain)
        self.messages.append(Copied(seq, subject, f"{head.n + 1}-writer-{chain[:8]}", chain, payload.decode()))

    def put_foreign(self, subject: str, payload: bytes) -> None:
        """Append a message that no writer made."""
        self.messages.append(Copied(len(self.messages) + 1, subject, "", "", payload.decode()))

    async def max_bytes(self) -> int:
        return 2**20

    async def last(self) -> int:
        return len(self.messages)

    async def head_at(self, subject: str, seq: int) -> Head | None:
        if not 1 <= seq <= len(self.messages) or self.messages[seq - 1].subject != subject:
            return None
        message = self.messages[seq - 1]
        return Head(seq, int(message.id.partition("-")[0]), message.chain)


def orders(count: int, *, start: int = 1, days: int = 2, price: str = "50") -> FakeStream:
    """Orders, one a commit, each with its events until it is queued; the last ones are of the next day."""
    stream, subject = FakeStream(), subjects.order_subject(0)
    for number in range(start, start + count):
        client_id = f"a-{number}"
        terms = msgspec.structs.replace(given.terms(price=price), order_id=order_id_of(given.ACCOUNT, client_id), client_order_id=client_id)
        at = given.NOW + (DAY_NS if days > 1 and number - start >= count // 2 else 0) + number
        events = decide(None, given.submit(terms), at)
        stream.put(subject, ORDER_COMMITS.encode(0, number - start + 1, events))
    return stream


def objects_in(directory: Path) -> Objects:
    return Objects.at(f"file://{directory}")


def rows(messages: Sequence[Copied], stream: str = ORDERS) -> list[ArchiveRow]:
    return [ArchiveRow("commits", stream, 0, message.seq, 0, message) for message in messages]


def messages_of(stream: FakeStream) -> list[Message[Copied]]:
    return [Message(part=stream.stream, epoch=0, n=each.seq, body=each, seq=each.seq) for each in stream.messages]


async def archive(objects: Objects, stream: FakeStream, *cuts: int, size: int = SIZE, tails_max: int = 16) -> ArchivePlace:
    """Write the stream, with a write up to each cut and one for the rest. Returns the place, to write more."""
    place = ArchivePlace(objects, stream.stream, stream, lambda name: None, size=size, tails_max=tails_max)
    await place.claim()
    done = 0
    for cut in (*cuts, len(stream.messages)):
        await place.write(rows(stream.messages[done:cut], stream.stream), Checkpoint())
        done = cut
    return place
