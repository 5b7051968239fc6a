"""What a stream was asked for: accounts, kinds, the form of numbers, and where it continues."""

import re
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import Query
from starlette.types import Scope

from apps.desk.kinds import KINDS, KINDS_DEFAULT
from apps.desk.rows import NUMBERS, TEXTS, Formats
from apps.http.caller import Caller, account_not_yours
from apps.http.messages import header
from apps.http.query import refused
from domain.access.scopes import EVERY_ACCOUNT
from domain.values import IDENTIFIER

ACCOUNTS_MAX: Final = 100
"""Accounts that one stream may name."""
LIMIT_DEFAULT: Final = 20_000
LIMIT_MAX: Final = 1_000_000
CHAIN_DIGITS: Final = 16
"""How much of the chain value is in an id: enough to tell two histories apart."""
LAST_EVENT_ID: Final = b"last-event-id"

_ID: Final = re.compile(rf"(\d{{1,19}})\.([0-9a-f]{{{CHAIN_DIGITS}}})", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,19}", re.ASCII)
_SEQ_END: Final = 2**63

AccountsQuery = Annotated[list[str] | None, Query(description="Only this account; may be repeated. Without it: all that the key may read.")]
KindsQuery = Annotated[str | None, Query(description=f"Comma-separated: {', '.join(KINDS)}. Default: {', '.join(KINDS_DEFAULT)}.")]
NumbersQuery = Annotated[str | None, Query(description="`number` (default) or `string`, for parsers that would round a number.")]
LimitQuery = Annotated[int | None, Query(ge=0, le=LIMIT_MAX, description="Orders in a snapshot at most: open ones first, newest first.")]
FromQuery = Annotated[str | None, Query(alias="from", description="Continue after the message with this id. `Last-Event-ID` comes first.")]
FromSeqQuery = Annotated[int | None, Query(description="Continue after this sequence of the journal, which is not compared by its chain.")]


class Resume(msgspec.Struct, frozen=True):
    """Where a client continues. `chain`: the begin of the chain value at `seq`; empty for a bare sequence, which proves nothing."""

    seq: int
    chain: str = ""


class StreamQuery(msgspec.Struct, frozen=True):
    """`accounts` is (`*`,) for all."""

    accounts: tuple[str, ...]
    kinds: frozenset[str]
    formats: Formats
    limit: int
    resume: Resume | None

    @property
    def every_account(self) -> bool:
        return self.accounts == (EVERY_ACCOUNT,)


def stream_query(scope: Scope, caller: Caller) -> StreamQuery:
    """Read the query of a stream, whose names have been checked. Refusal 400, and 403 for an account that the caller may not read."""
    named: dict[str, str] = {}
    accounts: list[str] = []
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name == "account":
            accounts.append(value)
        else:
            named[name] = value
    return StreamQuery(
        accounts=accounts_asked(accounts, caller),
        kinds=_kinds(named.get("kinds")),
        formats=formats_asked(named.get("numbers")),
        limit=_limit(named.get("limit")),
        resume=_resume(header(scope, LAST_EVENT_ID), named),
    )


def accounts_asked(asked: list[str], caller: Caller) -> tuple[str, ...]:
    """Return the accounts of a query, (`*`,) for all; without any those that the caller may read. Refusal 400, 403."""
    if len(asked) > ACCOUNTS_MAX:
        raise refused("account", f"a stream is of at most {ACCOUNTS_MAX} accounts")
    for account in asked:
        if not IDENTIFIER.fullmatch(account):
            raise refused("account", "an account is 1 to 64 letters, digits, _ and -")
    if not all(map(caller.sees, asked)):
        raise account_not_yours()
    if asked:
        return tuple(dict.fromkeys(asked))
    return (EVERY_ACCOUNT,) if caller.sees(EVERY_ACCOUNT) else (caller.account,)


def _kinds(text: str | None) -> frozenset[str]:
    found = KINDS_DEFAULT if text is None else tuple(text.split(","))
    if unknown := next((kind for kind in found if kind not in KINDS), None):
        raise refused("kinds", f"{unknown[:20]!a} is no kind: known are {', '.join(KINDS)}")
    return frozenset(found)


def formats_asked(text: str | None) -> Formats:
    """Return how decimals are to be written. Refusal 400."""
    if text not in (None, "number", "string"):
        raise refused("numbers", "numbers must be number or string")
    return TEXTS if text == "string" else NUMBERS


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not _NUMBER.fullmatch(text) or int(text) > LIMIT_MAX:
        raise refused("limit", f"limit must be a number from 0 to {LIMIT_MAX}")
    return int(text)


def _resume(last_event_id: str | None, named: dict[str, Any]) -> Resume | None:
    """Return where to continue. The header wins, because a browser repeats the old address when it connects again."""
    if last_event_id:
        return _by_id(last_event_id, "Last-Event-ID")
    if (text := named.get("from")) is not None:
        return _by_id(text, "from")
    if (text := named.get("from_seq")) is not None:
        if not _NUMBER.fullmatch(text) or int(text) >= _SEQ_END:
            raise refused("from_seq", "from_seq must be a sequence of the journal")
        return Resume(int(text))
    return None


def _by_id(text: str, name: str) -> Resume:
    found = _ID.fullmatch(text)
    if found is None or int(found[1]) >= _SEQ_END:
        raise refused(name, f"{name} must be the id of a message of this stream")
    return Resume(int(found[1]), found[2])
