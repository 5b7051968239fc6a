"""`python -m tests.bench.keys`: what the check of a key costs a request, by how it is shown, and what a key costs in memory.

In process, without a wire: everything in front of the handler, from the headers of a request to the caller. Budgets of the design: 10 us
a request, 600 bytes a key, with 1000 keys.
"""

import argparse
import asyncio
import base64
import gc
import json
import secrets
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import Message, Receive, Scope, Send

from adapters.clock import SystemClock
from apps.http.access import Access
from apps.http.authority import Authority, KeysKnown
from apps.http.credentials import digest, new_key_id, new_secret, signed_text
from apps.http.guard import guarded
from apps.http.route_scopes import TABLES
from config.access_mode import Mode
from domain.access.events import AccountOpened, KeyCreated
from domain.access.keys import KeyRing

KEYS: Final = 1000
LOOPS: Final = 5_000
BEST_OF: Final = 5
BUDGET_US: Final = 10.0
BUDGET_BYTES: Final = 600
CLIENT: Final = ("127.0.0.1", 50_000)
USUAL: Final = [(b"host", b"127.0.0.1:8099"), (b"content-type", b"application/json"), (b"content-length", b"60"), (b"accept", b"*/*")]

Headers = list[tuple[bytes, bytes]]


class House:
    """An authority with many keys, and the headers of one of them."""

    def __init__(self, mode: Mode, keys: int) -> None:
        self.clock = SystemClock()
        self.ring, self.known = KeyRing(), KeysKnown(self.clock)
        self.known.read_to_end(self.clock.monotonic_ns())
        self.private = Ed25519PrivateKey.generate()
        self.secrets: dict[str, str] = {}
        for number in range(keys):
            key_id, secret = new_key_id(), new_secret()
            self.secrets[key_id] = secret
            self.ring.apply(AccountOpened(version=1, at=1, who="operator", account=f"account-{number}"))
            self.ring.apply(_created(key_id, number, digest=digest(secret.encode()).hex()))
        self.signer = new_key_id()
        public = base64.b64encode(self.private.public_key().public_bytes_raw()).decode()
        self.ring.apply(_created(self.signer, 0, public_key=public))
        self.authority = Authority(mode, self.ring, TABLES["oms"], self.clock, self.known)

    def known_again(self) -> None:
        self.known.read_to_end(self.clock.monotonic_ns())

    def bearer(self) -> Headers:
        key_id, secret = next(iter(self.secrets.items()))
        return [*USUAL, (b"authorization", f"Bearer {key_id}.{secret}".encode())]

    def apca(self) -> Headers:
        key_id, secret = next(iter(self.secrets.items()))
        return [*USUAL, (b"apca-api-key-id", key_id.encode()), (b"apca-api-secret-key", secret.encode())]

    def signed(self, body: bytes) -> Headers:
        at, nonce = str(self.clock.now_ns() // 1_000_000 + 1), secrets.token_hex(8)
        signature = self.private.sign(signed_text("POST", "/orders", at, nonce, body))
        shown = {"trade-key": self.signer, "trade-time": at, "trade-nonce": nonce, "trade-signature": base64.b64encode(signature).decode()}
        return [*USUAL, *((name.encode(), value.encode()) for name, value in shown.items())]


def _created(key_id: str, number: int, **shown: Any) -> KeyCreated:
    account, scopes = f"account-{number}", ("read", "trade")
    return KeyCreated(
        version=1, at=1, who="operator", key_id=key_id, owner="ann", account=account, scopes=scopes, rate=10_000, burst=100_000, **shown
    )


async def _handler(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def _body() -> Message:
    return {"type": "http.request", "body": b"{}", "more_body": False}


async def _send(message: Message) -> None:
    raise AssertionError(message)


def _scope(headers: Headers) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": "/orders",
        "raw_path": b"/orders",
        "query_string": b"",
        "headers": headers,
        "client": CLIENT,
    }


def _cost_us(app: Callable[[Scope, Receive, Send], Awaitable[None]], house: House, headers: Callable[[], Headers], n: int) -> float:
    """CPU microseconds a request: the best of some runs."""

    async def run() -> float:
        asked = [_scope(headers()) for _ in range(n)]
        house.known_again()
        began = time.process_time()
        for scope in asked:
            await app(scope, _body, _send)
        return (time.process_time() - began) / n * 1e6

    return min(asyncio.run(run()) for _ in range(BEST_OF))


def costs() -> dict[str, float]:
    """Return the cost of each way to show a key, in CPU microseconds a request, above that of a handler without any check."""
    keyed, opened = House("keys", KEYS), House("open", KEYS)
    found = {}
    bare = _cost_us(_handler, keyed, keyed.bearer, LOOPS)
    before = _cost_us(guarded(_handler, Access(), None), keyed, keyed.bearer, LOOPS)
    found["host, origin and content type alone"] = before - bare
    for name, house, headers in (
        ("open mode, no key", opened, lambda: USUAL),
        ("bearer", keyed, keyed.bearer),
        ("APCA headers", keyed, keyed.apca),
    ):
        found[name] = _cost_us(guarded(_handler, Access(), house.authority), house, headers, LOOPS) - bare
    signed = guarded(_handler, Access(), keyed.authority)
    found["Ed25519 signature"] = _cost_us(signed, keyed, lambda: keyed.signed(b"{}"), 400) - bare
    return found


def bytes_a_key() -> tuple[float, float]:
    """Return the memory of a key that was created, and of one that was used as well."""
    gc.collect()
    tracemalloc.start()
    house = House("keys", KEYS)
    texts = house.secrets
    house.secrets = {}
    gc.collect()
    created = (
        tracemalloc.get_traced_memory()[0] - sum(sys.getsizeof(text) for pair in texts.items() for text in pair) - sys.getsizeof(texts)
    )
    app = guarded(_handler, Access(), house.authority)

    async def use() -> None:
        for key_id, secret in texts.items():
            await app(_scope([*USUAL, (b"authorization", f"Bearer {key_id}.{secret}".encode())]), _body, _send)

    asyncio.run(use())
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - sum(sys.getsizeof(text) for pair in texts.items() for text in pair) - sys.getsizeof(texts)
    tracemalloc.stop()
    return created / KEYS, used / KEYS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.keys", description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found, (created, used) = costs(), bytes_a_key()
    print(f"the check of a request, {KEYS} keys (budget {BUDGET_US:g} us), CPU us a request")
    for name, cost in found.items():
        print(f"  {name:<40}{cost:8.2f}")
    print(f"memory of a key (budget {BUDGET_BYTES} bytes): {created:.0f} bytes, {used:.0f} when it was used")
    if asked.json:
        asked.json.write_text(json.dumps({"us": found, "bytes": {"created": created, "used": used}}))


if __name__ == "__main__":
    main()
