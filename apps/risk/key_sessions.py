"""Sessions of keys: a token that is good for 15 minutes, renewed while it is used, and over after a working day at the latest."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from apps.http.app import Refusal
from apps.http.caller import caller_of, unauthorized
from apps.http.credentials import digest, new_token
from domain.access.events import AccessChange, SessionsEnded, SessionStarted
from domain.access.keys import Key, KeyRing, Session
from domain.ports import Clock, Head
from domain.values import rfc3339

SESSION_NS: Final = 15 * 60 * 1_000_000_000
SESSION_HARD_END_NS: Final = 8 * 3600 * 1_000_000_000
"""From its start: no renewal goes beyond it. A stolen token ends then at the latest."""
RENEWED_AFTER_NS: Final = 4 * 60 * 1_000_000_000
"""A renewal that would win less than this is answered without an event, so that requests do not fill the journal."""
SESSIONS_OF_A_KEY_MAX: Final = 100
SESSIONS_FILL_MAX: Final = 0.75
"""Of the journal of access. Beyond that sessions are refused, so that there is always room to revoke a key."""

Record = Callable[[Callable[[int], AccessChange]], Awaitable[Head]]
Answer = Callable[[dict[str, Any], Head], Awaitable[Response]]


class KeySessions:
    """The routes of sessions."""

    def __init__(self, keys: KeyRing, clock: Clock, filled: Callable[[], float], record: Record, answer: Answer) -> None:
        """`filled`: the fill level of the journal of access, 0 to 1. `record` makes an event durable, `answer` waits for the services."""
        self._keys = keys
        self._clock = clock
        self._filled = filled
        self._record = record
        self._answer = answer

    def add_to(self, router: APIRouter) -> None:
        current = "/sessions/current"
        router.add_api_route("/sessions", self._start, methods=["POST"], summary="Exchange a key for a token, good for 15 minutes")
        router.add_api_route(current, self._renew, methods=["POST"], summary="Renew the session of this request, for 15 minutes from now")
        router.add_api_route(current, self._end, methods=["DELETE"], summary="End the session of this request")

    async def _start(self, request: Request) -> Response:
        """Any live key may start a session; the key's networks hold for the token too."""
        caller, token = caller_of(request.scope), new_token()
        hashed = digest(token.encode())
        key = self._keys.by_id.get(caller.key_id)
        if key is None or caller.session:
            raise unauthorized()  # a program without a key needs no session, and a token must not start another one
        self._room()
        shown, asked_at = key.digest, self._clock.now_ns()
        until = _until(key, asked_at, asked_at)

        def event(version: int) -> SessionStarted:
            now = self._clock.now_ns()
            if not key.live(now) or key.digest != shown:
                raise unauthorized()  # revoked or rotated since: the session would outlive what ended it
            if self._keys.sessions_of(key.key_id, now) >= SESSIONS_OF_A_KEY_MAX:
                raise Refusal(429, "rate_limited", f"this key has {SESSIONS_OF_A_KEY_MAX} sessions", headers={"Retry-After": "60"})
            return SessionStarted(version=version, at=now, who=caller.owner, key_id=key.key_id, digest=hashed.hex(), expires_at=until)

        stored = await self._record(event)
        ends = rfc3339(asked_at + SESSION_HARD_END_NS)
        return await self._answer({"token": token, "expires_at": rfc3339(until), "ends_at": ends, "key_id": key.key_id}, stored)

    async def _renew(self, request: Request) -> Response:
        """Renew it, the same token. Its event is a start of the same token, which keeps the time of the first one.

        At its hard end the token is over as at any other end: 401. Refusal 409 if its key was rotated: the old secret may have started it.
        """
        caller = caller_of(request.scope)
        if not caller.session:
            raise _no_session()
        self._room()
        now = self._clock.now_ns()
        key, session = self._of(caller.session, now)
        until, stored = _until(key, session.began, now), Head(seq=self._keys.version)
        if until - session.expires_at < RENEWED_AFTER_NS:
            until = session.expires_at
        else:

            def event(version: int) -> SessionStarted:
                at = self._clock.now_ns()
                self._of(caller.session, at)  # again, in the journal's order: a session that was ended stays so
                return SessionStarted(
                    version=version, at=at, who=caller.owner, key_id=key.key_id, digest=caller.session.hex(), expires_at=until
                )

            stored = await self._record(event)
        view = {"expires_at": rfc3339(until), "ends_at": rfc3339(session.began + SESSION_HARD_END_NS)}
        return await self._answer({**view, "key_id": key.key_id}, stored)

    def _of(self, token: bytes, now: int) -> tuple[Key, Session]:
        """Return the session of a token that may be renewed, and its key. Refusal 401, 409."""
        session = self._keys.sessions.get(token)
        key = None if session is None else self._keys.by_id.get(session.key_id)
        if session is None or key is None or not key.live(now) or now >= session.expires_at:
            raise unauthorized()
        if session.began < key.old_until:
            raise Refusal(409, "session_not_renewed", "the key of this session was rotated: start a session with the new secret")
        return key, session

    async def _end(self, request: Request) -> Response:
        caller = caller_of(request.scope)
        if not caller.session:
            raise _no_session()

        def event(version: int) -> SessionsEnded:
            at = self._clock.now_ns()
            return SessionsEnded(version=version, at=at, who=caller.owner, key_id=caller.key_id, digest=caller.session.hex())

        return await self._answer({"ended": True}, await self._record(event))

    def _room(self) -> None:
        if self._filled() > SESSIONS_FILL_MAX:
            raise Refusal(503, "access_full", "the journal of access has no room for sessions; use the key itself", outcome="not_accepted")


def _until(key: Key, began: int, now: int) -> int:
    """Return how long a session that began then is good if it is used now."""
    until = min(now + SESSION_NS, began + SESSION_HARD_END_NS)
    return until if key.expires_at is None else min(until, key.expires_at)


def _no_session() -> Refusal:
    return Refusal(404, "session_not_found", "this request was not made with the token of a session")
