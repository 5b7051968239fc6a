"""A stack in keys mode as its callers see it: keys made by the command line's key, requests with or without one, and signatures."""

import base64
import contextlib
import json
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.http.credentials import signed_text
from apps.stack.credentials.users import CLI_KEY_FILE
from apps.stack.services import SECRETS
from tests.flows.doors import ORDER, sound
from tests.stack import SERVICES, LiveStack

Headers = dict[str, str]
ANNA: Final = "acct-anna"
BERT: Final = "acct-bert"
NOPE: Final = "acct-nope"
"""An account that nothing ever named."""
ABSENT: Final = "0" * 32
UNAUTHORIZED: Final = (401, "unauthorized")
SCOPE_MISSING: Final = (403, "scope_missing")
NOT_YOURS: Final = (403, "account_not_yours")
HERE: Final = "127.0.0.1"
WIDE: Final = {"rate": 10_000, "burst": 100_000}
"""A rate that no scene exhausts, unless it is about rates."""
PIECE_S: Final = 0.05
"""Between the pieces of a request, so that they arrive one by one."""
OF_THE_MOMENT: Final = ("date", "x-ratelimit-remaining", "x-ratelimit-reset")


@dataclass(frozen=True)
class Made:
    """A key as its owner has it."""

    key_id: str
    secret: str
    owner: str
    account: str

    @property
    def headers(self) -> Headers:
        return {"authorization": f"Bearer {self.key_id}.{self.secret}"}

    @property
    def basic(self) -> Headers:
        return {"authorization": "Basic " + base64.b64encode(f"{self.key_id}:{self.secret}".encode()).decode()}

    @property
    def apca(self) -> Headers:
        return {"apca-api-key-id": self.key_id, "apca-api-secret-key": self.secret}


def bearer(token: str) -> Headers:
    return {"authorization": f"Bearer {token}"}


@dataclass
class House:
    """All services of one stack, and every secret that was made in it."""

    stack: LiveStack
    secrets: list[str] = field(default_factory=list)
    _clients: dict[str, httpx.Client] = field(default_factory=dict)
    _urls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._urls = {name: self.stack.url(name) for name in SERVICES}
        text = (self.stack.data_dir / SECRETS / CLI_KEY_FILE).read_text().strip()
        self.operator = bearer(text)
        self.secrets.append(text.partition(".")[2])

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def port(self, service: str) -> int:
        return httpx.URL(self._urls[service]).port or 0

    def ask(self, service: str, method: str, path: str, who: Headers | None = None, *, at: str = HERE, **how: Any) -> httpx.Response:
        """One request from the address `at`. Nothing answers 500, and what is no success is a sound problem."""
        if at not in self._clients:
            self._clients[at] = httpx.Client(transport=httpx.HTTPTransport(local_address=at), timeout=60)
        given = how.pop("headers", {}) | (who or {})
        answer = self._clients[at].request(method, self._urls[service] + path, headers=given, **how)
        assert answer.status_code != 500, (service, method, path, answer.text)
        if answer.status_code >= 400 and method != "HEAD" and answer.headers.get("content-type") != "application/json":
            sound(answer)
        return answer

    def done(self, service: str, method: str, path: str, who: Headers | None = None, **how: Any) -> Any:
        """The body of a success."""
        answer = self.ask(service, method, path, who or self.operator, **how)
        assert answer.status_code in (200, 202), (service, method, path, answer.text)
        return answer.json()

    def refused(self, service: str, method: str, path: str, who: Headers | None = None, **how: Any) -> tuple[int, str]:
        """Status and code of a problem."""
        answer = self.ask(service, method, path, who, **how)
        return answer.status_code, answer.json()["code"]

    def key(self, account: str, *scopes: str, owner: str = "operator", **more: Any) -> Made:
        """A new key that every service knows."""
        asked = {"account": account, "scopes": scopes, "owner": owner, **WIDE, **more}
        made = self.done("risk", "POST", "/access/keys", json=asked)
        assert set(made["acknowledged"].values()) == {"yes"}, made
        self.secrets.append(made["secret"])
        return Made(made["key_id"], made["secret"], owner, account)

    def signer(self, account: str, *scopes: str, owner: str = "operator", **more: Any) -> "Signer":
        """A new key whose private half stays with its owner."""
        private = Ed25519PrivateKey.generate()
        public = base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
        asked = {"account": account, "scopes": scopes, "owner": owner, "public_key": public, **WIDE, **more}
        made = self.done("risk", "POST", "/access/keys", json=asked)
        assert "secret" not in made
        self.secrets.append(base64.b64encode(private.private_bytes_raw()).decode())
        self.secrets.append(private.private_bytes_raw().hex())
        return Signer(made["key_id"], private)

    def session(self, who: Headers) -> str:
        token: str = self.done("risk", "POST", "/access/sessions", who)["token"]
        self.secrets.append(token)
        return token

    def submit(self, who: Headers, **order: Any) -> Any:
        """The answer to an order that risk let pass: on a busy machine it may have had no time for the first one."""
        body = {name: value for name, value in {**ORDER, **order}.items() if name != "account" and value is not None}
        for _ in range(20):
            answer = self.done("oms", "POST", "/orders", who, json=body)
            if answer["status"] == "submitted":
                return answer
            assert answer.get("reason") in ("risk_timeout", "risk_error"), answer
        raise AssertionError("risk never had the time")


@dataclass(frozen=True)
class Signer:
    """Signs requests with a key of its own."""

    key_id: str
    private: Ed25519PrivateKey

    def headers(self, method: str, target: str, body: bytes = b"", *, late_ms: int = 0, nonce: str = "", window_ms: int = 0) -> Headers:
        """Headers of a request signed `late_ms` ago."""
        at, nonce = str(time.time_ns() // 1_000_000 - late_ms), nonce or secrets.token_urlsafe(16)
        signature = self.private.sign(signed_text(method, target, at, nonce, body))
        signed = {"trade-key": self.key_id, "trade-time": at, "trade-nonce": nonce, "trade-signature": base64.b64encode(signature).decode()}
        return signed | ({"trade-window": str(window_ms)} if window_ms else {})


def shown(answer: httpx.Response, echoed: str) -> tuple[int, str, dict[str, str]]:
    """All that a caller sees of an answer, without the name that it asked for and without what changes from moment to moment."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_MOMENT}
    return answer.status_code, answer.text.replace(echoed, "@"), headers


def raw(port: int, *pieces: bytes, count: int = 1) -> list[tuple[int, bytes]]:
    """Status and body of every answer to these bytes, sent as they are on one connection: at least `count`, if they come."""
    with socket.create_connection((HERE, port), timeout=30) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        for piece in pieces:
            wire.sendall(piece)
            time.sleep(PIECE_S if len(pieces) > 1 else 0)
        while len(answers(received)) < count and (part := wire.recv(65536)):
            received += part
        with contextlib.suppress(OSError):  # it may be closed already
            wire.shutdown(socket.SHUT_WR)
        while part := wire.recv(65536):
            received += part
    return answers(received)


def plain(method: str, target: str, who: Headers, body: bytes = b"", *more: str, version: str = "1.1") -> bytes:
    """A request as bytes, with a Host unless `more` has one."""
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in who.items())]
    lines += ["host: 127.0.0.1"] if not any(line.lower().startswith("host") for line in more) else []
    lines += ["content-type: application/json", f"content-length: {len(body)}"] if body else []
    return "\r\n".join((*lines, *more, "", "")).encode() + body


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """The answers that have arrived in full."""
    found = []
    while b"\r\n\r\n" in received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        if len(rest) < length:
            break
        found.append((int(head.split(b" ", 2)[1]), rest[:length]))
        received = rest[length:]
    return found


def as_json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def rank_score(ones: list[float], others: list[float]) -> float:
    """Mann and Whitney: how many standard deviations the ranks of one sample are from those of equal distributions."""
    ranked = sorted([(value, True) for value in ones] + [(value, False) for value in others])
    total = sum(rank for rank, (_, mine) in enumerate(ranked, 1) if mine)
    n, m = len(ones), len(others)
    deviation: float = (n * m * (n + m + 1) / 12) ** 0.5
    return (total - n * (n + m + 1) / 2) / deviation
