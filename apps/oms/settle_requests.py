"""First steps of settlements, where the configuration asks for a second person. They are in memory: a restart of oms forgets them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from apps.http.problem import Refusal
from domain.four_eyes import SECOND_STEP_MAX_NS, in_time, same_person
from domain.order.commands import SettleOrder
from domain.ports import Clock
from domain.values import rfc3339

REQUESTS_MAX: Final = 1000
"""How many first steps are kept at once; the oldest one is forgotten for a further one."""
TOKEN_BYTES: Final = 4


class SettleRequest(msgspec.Struct, frozen=True):
    """A first step, at a time of the steady clock (ns)."""

    at: int
    command: SettleOrder


class SettleRequests:
    """The first steps that another person may still confirm, by token, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_token: dict[str, SettleRequest] = {}

    def ask(self, command: SettleOrder) -> dict[str, str]:
        """Keep a first step. Return its token, and until when it may be confirmed."""
        token, now = secrets.token_hex(TOKEN_BYTES), self._clock.monotonic_ns()
        self._by_token = {kept: each for kept, each in self._by_token.items() if in_time(each.at, now)}
        self._keep(token, SettleRequest(now, command))
        return {"token": token, "expires_at": rfc3339(self._clock.now_ns() + SECOND_STEP_MAX_NS)}

    @contextmanager
    def confirmed(self, token: str, command: SettleOrder) -> Iterator[SettleOrder]:
        """Yield the settlement, signed by both persons. Refusal 403, 409.

        The token is taken: it settles once. It is given back if the block raises a Refusal.
        """
        first = self._by_token.get(token)
        if first is None or not in_time(first.at, self._clock.monotonic_ns()) or _unsigned(first.command) != _unsigned(command):
            raise Refusal(
                409,
                "not_requested",
                "no valid request for this settlement with this token: request again without a token",
                pointer="/token",
            )
        one, other = first.command, command
        if same_person(one.who, other.who):
            raise Refusal(
                403, "second_person_required", f"{one.who} made the request: another person must do the second step", pointer="/who"
            )
        del self._by_token[token]
        reason = one.reason if one.reason == other.reason else f"{one.reason}; {other.reason}"
        try:
            yield msgspec.structs.replace(other, who=f"{one.who} and {other.who}", reason=reason)
        except Refusal:
            self._keep(token, first)
            raise

    def _keep(self, token: str, request: SettleRequest) -> None:
        if len(self._by_token) >= REQUESTS_MAX:
            del self._by_token[next(iter(self._by_token))]
        self._by_token[token] = request


def _unsigned(command: SettleOrder) -> SettleOrder:
    """Return what both persons must agree on: everything but who asks, with which key, and why."""
    return msgspec.structs.replace(command, by="", who="", reason="")
