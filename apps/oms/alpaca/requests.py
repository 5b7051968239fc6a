"""Requests and replies of the facade, and the reader of its query parameters. Unknown parameters are ignored, as Alpaca does."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from apps.http.alpaca_words import malformed_field
from apps.http.caller import Caller
from apps.http.problem import ECHO_MAX
from apps.oms.alpaca.moments import read_moment

TRUE: Final = ("true", "1", "yes")
FALSE: Final = ("false", "0", "no", "")


class AlpacaRequest(NamedTuple):
    """One request: who asks, what follows the route's fixed part of the path, the query, the body, and the headers."""

    caller: Caller
    rest: str
    query: Mapping[str, str]
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()

    @property
    def account(self) -> str:
        return self.caller.account

    @property
    def idempotency_key(self) -> str | None:
        return next((value.decode("latin-1") for name, value in self.headers if name == b"idempotency-key"), None)


class AlpacaReply(NamedTuple):
    status: int
    body: bytes


def reply(found: Any, status: int = 200) -> AlpacaReply:
    """Return a reply with a JSON body."""
    return AlpacaReply(status, msgspec.json.encode(found))


NO_CONTENT: Final = AlpacaReply(204, b"")


def read_parameters(text: bytes) -> dict[str, str]:
    """Return the parameters of a query. A repeated one is joined with commas, as a list is."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def word_in(query: Mapping[str, str], name: str, words: Collection[str], default: str) -> str:
    """Return one of `words`, in any case. AlpacaRefusal."""
    found = query.get(name, "").lower() or default
    if found not in words:
        raise malformed_field(name, f"{found[:ECHO_MAX]!a} is not one of {', '.join(words)}")
    return found


def count_in(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return a number between 1 and `most`. AlpacaRefusal."""
    text = query.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= most:
        raise malformed_field(name, f"must be a number from 1 to {most}")
    return int(text)


def moment_in(query: Mapping[str, str], name: str) -> int | None:
    """Return the nanoseconds of a moment; None if it is absent. AlpacaRefusal."""
    text = query.get(name)
    if not text:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        raise malformed_field(name, f"is not a readable moment: {error}") from None


def flag_in(query: Mapping[str, str], name: str) -> bool:
    """Return a yes or no; absent is no. AlpacaRefusal."""
    text = query.get(name, "").lower()
    if text not in TRUE and text not in FALSE:
        raise malformed_field(name, "must be true or false")
    return text in TRUE


def list_in(query: Mapping[str, str], name: str) -> list[str]:
    """Return the parts of a list with commas; none if it is absent."""
    return [part for part in map(str.strip, query.get(name, "").split(",")) if part]
