"""Rights of each user of the market's NATS server.

As on the core's server (apps.stack.credentials.nats), a client that may send a request can direct the reply to any subject of its own
account. So the writer of a stream is alone in an account with it, and all others read over exports of that account.

    GATEWAY     gateway: MARKET_RAW; answers market.control.* ──┐
    NORMALIZER  normalizer: MARKET, MARKET_FACTS ───────────────┼── READERS  sink-ticks, sink-alt, operator
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from adapters import subjects
from adapters.feed import API, STORED
from apps.stack.credentials import nats_text
from apps.stack.credentials.nats import ANSWERS, JETSTREAM, MANY_ANSWERS, READS, inbox
from apps.stack.credentials.nats_text import account, exported, imported
from apps.stack.credentials.users import GATEWAY, MARKET_USERS, NORMALIZER, OPERATOR, SINK_ALT, SINK_TICKS

READERS: Final = "READERS"
MAKES: Final = ("STREAM.CREATE", "STREAM.UPDATE")
"""What its writer may also do to a stream."""


class MarketStream(NamedTuple):
    """A stream of the market. Its `writer` is a user, alone in the account of that name in capitals; `readers` are other users."""

    name: str
    subjects: tuple[str, ...]
    writer: str
    readers: tuple[str, ...]

    @property
    def account(self) -> str:
        return self.writer.upper()


STREAMS: Final = (
    MarketStream(subjects.MARKET_RAW_STREAM, (subjects.MARKET_RAW,), GATEWAY, (NORMALIZER, OPERATOR)),
    MarketStream(
        subjects.MARKET_STREAM,
        (subjects.MARKET_QUOTES, subjects.MARKET_TRADES, subjects.MARKET_BOOKS),
        NORMALIZER,
        (SINK_TICKS, SINK_ALT, OPERATOR),
    ),
    MarketStream(subjects.MARKET_FACTS_STREAM, (subjects.MARKET_FACTS,), NORMALIZER, (SINK_TICKS, SINK_ALT, OPERATOR)),
)
ASKS: Final = (NORMALIZER, OPERATOR)
"""Who may ask the gateway for a snapshot, other symbols or trades of the past."""


def account_of(user: str) -> str:
    """Return the account of this user."""
    return next((stream.account for stream in STREAMS if stream.writer == user), READERS)


def publishes(user: str) -> tuple[str, ...]:
    """Return the subjects that this user may publish, besides its own inbox."""
    own, read = _own(user), _read(user)
    streams = tuple(subject for stream in own for subject in stream.subjects)
    api = tuple(f"{JETSTREAM}.{verb}.{stream.name}" for stream in own for verb in (*READS, *MAKES))  # rights are about the mapped name
    reads = tuple(f"{API}.{verb}.{stream.name}" for stream in read for verb in READS)
    return (*streams, *api, *reads, *((subjects.MARKET_CONTROLS,) if user in ASKS else ()), *((ANSWERS,) if user == GATEWAY else ()))


def subscribes(user: str) -> tuple[str, ...]:
    """Return the subjects that this user may subscribe to, besides its own inbox."""
    feeds = tuple(f"{STORED}.{subject}" for stream in (*_own(user), *_read(user)) for subject in stream.subjects)
    return (*feeds, *((subjects.MARKET_CONTROLS,) if user == GATEWAY else ()))


def _own(user: str) -> list[MarketStream]:
    return [stream for stream in STREAMS if stream.writer == user]


def _read(user: str) -> list[MarketStream]:
    return [stream for stream in STREAMS if user in stream.readers]


def configuration(passwords: Mapping[str, str]) -> str:
    """Return the configuration of users for the market's nats-server. There are no guests."""
    return nats_text.configuration(
        account(
            name,
            *_settings(name),
            users=[_user(user, passwords[user]) for user in MARKET_USERS if account_of(user) == name],
            exports=_exports(name),
            imports=_imports(name),
        )
        for name in dict.fromkeys((*(stream.account for stream in STREAMS), READERS))
    )


def _settings(name: str) -> Iterator[str]:
    """Yield JetStream in the accounts of streams, and the second name of its API for these streams."""
    own = [stream for stream in STREAMS if stream.account == name]
    if own:
        names = {f"{API}.{verb}.{stream.name}": f"{JETSTREAM}.{verb}.{stream.name}" for stream in own for verb in (*READS, *MAKES)}
        yield "jetstream: enabled"
        yield f"mappings: {json.dumps(names)}"


def _exports(name: str) -> Iterator[str]:
    for stream in STREAMS:
        if stream.account == name:
            to = tuple(dict.fromkeys(account_of(user) for user in stream.readers))
            for verb in READS:
                yield exported("service", f"{JETSTREAM}.{verb}.{stream.name}", to, many_answers=verb == MANY_ANSWERS)
            yield from (exported("stream", f"{STORED}.{subject}", to) for subject in stream.subjects)
    if name == account_of(GATEWAY):
        yield exported("service", subjects.MARKET_CONTROLS, [account_of(user) for user in ASKS])


def _imports(name: str) -> Iterator[str]:
    for stream in STREAMS:
        if name in {account_of(user) for user in stream.readers}:
            for verb in READS:
                yield imported("service", stream.account, f"{JETSTREAM}.{verb}.{stream.name}", f"{API}.{verb}.{stream.name}")
            yield from (imported("stream", stream.account, f"{STORED}.{feed}") for feed in stream.subjects)
    if name in {account_of(user) for user in ASKS}:
        yield imported("service", account_of(GATEWAY), subjects.MARKET_CONTROLS)


def _user(user: str, password: str) -> str:
    answers = (f"{inbox(user)}.>",)
    return nats_text.user(user, password, publish=(*publishes(user), *answers), subscribe=(*subscribes(user), *answers))
