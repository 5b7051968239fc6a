"""The text of accounts, users, exports and imports in a configuration of nats-server."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

Kind = Literal["service", "stream"]
"""What an account exports: a service answers requests, a stream is a subject to subscribe to."""


def configuration(accounts: Iterable[Iterable[str]], *more: str) -> str:
    """Return the file with these accounts, and further lines after them."""
    lines = [line for account in accounts for line in account]
    return "\n".join(["# written by `trade secrets init`; changes are lost", "accounts {", *lines, "}", *more, ""])


def account(name: str, *settings: str, users: Iterable[str], exports: Iterable[str] = (), imports: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines of an account."""
    yield f"  {name} {{"
    yield from (f"    {setting}" for setting in settings)
    for key, entries in (("users", users), ("exports", exports), ("imports", imports)):
        yield from (f"    {key}: [", *(f"      {entry}" for entry in entries), "    ]")
    yield "  }"


def user(name: str, password: str, *, publish: Sequence[str], subscribe: Sequence[str]) -> str:
    rights = f"{{publish: {json.dumps(publish)}, subscribe: {json.dumps(subscribe)}}}"
    return f"{{user: {json.dumps(name)}, password: {json.dumps(password)}, permissions: {rights}}}"


def exported(kind: Kind, subject: str, accounts: Sequence[str], *, many_answers: bool = False) -> str:
    """Return an export to these accounts. `many_answers`: a request to the service may get more than one reply."""
    return f"{{{kind}: {json.dumps(subject)}, accounts: {json.dumps(accounts)}{', response_type: stream' * many_answers}}}"


def imported(kind: Kind, account: str, subject: str, to: str = "") -> str:
    """Return an import from this account, under the name `to` if there is one."""
    renamed = f", to: {json.dumps(to)}" if to else ""
    return f"{{{kind}: {{account: {account}, subject: {json.dumps(subject)}}}{renamed}}}"
