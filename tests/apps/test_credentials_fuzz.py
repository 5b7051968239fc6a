"""Seeded nonsense in the credential headers, in front of an application that must never be reached."""

import base64
import random
from collections import Counter
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from apps.http.access import Access
from apps.http.credentials import HEADERS
from apps.http.guard import guarded
from tests.apps.test_authority import SECRET, TOKEN, TRADER, House

SEED: Final = 15
REQUESTS: Final = 5_000
ADDRESSES: Final = 400
"""A number at which most requests are judged by their credentials: the failures of one address are throttled."""
PIECES: Final = (
    *(b"", b" ", b".", b":", b",", b"=", b"\t", b"\xff", b"\xc3\xa9", b"%", b"0", b"-1", b"1_0", b"9" * 300, b"x" * 600),
    *(TRADER.encode(), TRADER.lower().encode(), SECRET[:-1].encode(), SECRET.swapcase().encode(), TOKEN[:-1].encode(), b"trs_", b"trk_"),
    *(b"Bearer", b"bearer ", b"Basic ", b"Digest ", base64.b64encode(TRADER.encode()), base64.b64encode(b":"), b"1000000", b"1000"),
)
"""Nothing put together from them is a whole secret or token."""


def headers(chance: random.Random) -> list[tuple[bytes, bytes]]:
    names = chance.choices(sorted(HEADERS), k=chance.randint(1, 5))
    return [(name, b"".join(chance.choices(PIECES, k=chance.randint(0, 4)))) for name in names]


async def test_nonsense_is_refused_and_never_a_fault() -> None:
    async def never(scope: Scope, _: Receive, __: Send) -> None:
        raise AssertionError(scope)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses[message["status"]] += 1

    chance, statuses = random.Random(SEED), Counter[int]()
    door = guarded(never, Access(["here"]), House().authority)
    for _ in range(REQUESTS):
        address = (f"10.0.0.{chance.randrange(ADDRESSES)}", 1)
        sent = [(b"host", b"here"), *headers(chance)]
        scope = {"type": "http", "method": "POST", "path": "/orders", "query_string": b"", "client": address, "headers": sent}
        await door(scope, receive, send)
    assert statuses.keys() == {401, 429}
    assert statuses[401] > REQUESTS * 0.8
    assert statuses.total() == REQUESTS
