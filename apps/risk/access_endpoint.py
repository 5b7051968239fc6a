"""`/access/*`: accounts, keys and sessions. A change is durable and in force here before its answer, which says where else it is so."""

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from apps.connections.access import AccessAcks, AccessQuestion
from apps.http.app import Exact, Refusal
from apps.http.audit import AuditEntry
from apps.http.authority import Authority
from apps.http.body import model_doc, read_model
from apps.http.caller import Caller, caller_of
from apps.http.credentials import digest, new_key_id, new_secret
from apps.http.query import MOMENT_FORMS, moment_asked
from apps.risk.access_body import AccountBody, KeyBody, LimitBody, ReasonBody, RevokeBody, RotateBody, read_key
from apps.risk.access_log_view import log_view
from apps.risk.control_log import ControlLog
from apps.risk.key_sessions import KeySessions
from apps.risk.time_slice import TimeSlice
from apps.runtime.failpoint import failpoint
from domain.access.events import (
    AccessChange,
    AccountClosed,
    AccountOpened,
    AdminKeyRequested,
    KeyCreated,
    KeyLimited,
    KeyRevoked,
    KeyRotated,
    SessionsEnded,
)
from domain.access.keys import Key
from domain.access.scopes import EVERY_ACCOUNT, AccessScope, scopes_of
from domain.four_eyes import SECOND_STEP_MAX_NS, in_time, same_person
from domain.ports import Clock, Head, Unavailable
from domain.values import IDENTIFIER, rfc3339

SERVICE: Final = "risk"
OTHERS: Final = ("desk", "exeq", "live-gateway", "oms", "projector")
"""The services that must acknowledge, besides risk itself, which has recorded the event."""
KEYS_MAX: Final = 10_000
TOKEN_BYTES: Final = 8
LOG_MAX: Final = 1000

AccountName = Annotated[str, Path(pattern=f"^{IDENTIFIER.pattern}$")]
KeyId = Annotated[str, Path(pattern="^[A-Za-z0-9]{1,64}$")]
View = dict[str, Any]
Make = Callable[[int], AccessChange]


class AccessEndpoint:
    """The routes of accounts, keys and sessions, one method each. Refusals are raised; the chassis renders them."""

    def __init__(
        self,
        authority: Authority,
        log: ControlLog[AccessChange],
        acks: AccessAcks,
        clock: Clock,
        filled: Callable[[], float],
    ) -> None:
        """`filled`: the fill level of the journal of access, from 0 to 1."""
        self._sessions = KeySessions(authority.keys, clock, filled, self._record, self._acknowledged)
        self._authority = authority
        self._keys = authority.keys
        self._log = log
        self._acks = acks
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/access", tags=["access"])
        key, account = "/keys/{key_id}", "/accounts/{account}"
        for path, handler, body, summary in (
            ("/accounts", self._open_account, AccountBody, "Open an account"),
            (f"{account}/close", self._close_account, ReasonBody, "Close an account: from then on it takes only cancels"),
            ("/keys", self._create, KeyBody, "Create a key; its secret is in this answer and nowhere else"),
            (f"{key}/revoke", self._revoke, RevokeBody, "Revoke a key: dead in every service that acknowledges"),
            (f"{key}/rotate", self._rotate, RotateBody, "Give a key a new secret; the old one stays good for a while"),
            (f"{key}/limit", self._limit, LimitBody, "Change the rate of a key"),
            (f"{key}/end-sessions", self._end_sessions, ReasonBody, "End every session of a key"),
        ):
            router.add_api_route(path, handler, methods=["POST"], summary=summary, openapi_extra=model_doc(body))
        self._sessions.add_to(router)
        for path, show, summary in (
            ("/accounts", self._accounts, "The accounts"),
            ("/keys", self._list, "The keys, without their secrets"),
            (key, self._show, "One key"),
            ("/log", self._history, "What happened to keys, first uses from an address, and refused requests; newest first"),
        ):
            router.add_api_route(path, show, methods=["GET"], summary=summary)
        return router

    async def _open_account(self, request: Request) -> Response:
        asked, who = read_model(await request.body(), AccountBody), caller_of(request.scope).owner

        def event(version: int) -> AccountOpened:
            if self._keys.accounts.get(asked.account):
                raise Refusal(409, "account_exists", "the account is open already", pointer="/account")
            return AccountOpened(version=version, at=self._clock.now_ns(), who=who, reason=asked.reason, account=asked.account)

        return await self._acknowledged({"account": asked.account, "open": True}, await self._record(event))

    async def _close_account(self, account: AccountName, request: Request) -> Response:
        asked, who = read_model(await request.body() or b"{}", ReasonBody), caller_of(request.scope).owner

        def event(version: int) -> AccountClosed:
            if account not in self._keys.accounts:
                raise Refusal(404, "account_not_found", "there is no such account")
            return AccountClosed(version=version, at=self._clock.now_ns(), who=who, reason=asked.reason, account=account)

        return await self._acknowledged({"account": account, "open": False}, await self._record(event))

    async def _accounts(self) -> Response:
        now = self._clock.now_ns()
        keys = Counter(key.account for key in self._keys.by_id.values() if key.live(now))
        rows = [{"account": name, "open": is_open, "keys": keys[name]} for name, is_open in sorted(self._keys.accounts.items())]
        return Exact({"accounts": rows})

    async def _create(self, request: Request) -> Response:
        body = await request.body()
        asked, caller = read_key(body), caller_of(request.scope)
        if asked.token is not None:
            self._may_confirm(asked, caller)
        elif AccessScope.ADMIN in asked.scopes and self._needs_another(caller):
            return await self._request(asked, caller)
        if asked.account not in (EVERY_ACCOUNT, *self._keys.accounts):
            await self._record(lambda version: self._opened(version, asked, caller))
        secret = None if asked.public_key else new_secret()
        key_id = new_key_id()
        stored = await self._record(lambda version: self._created(version, key_id, secret, asked, caller))
        view = self._view(self._keys.by_id[key_id], {}) | ({"secret": secret} if secret else {})
        return await self._acknowledged(view, stored)

    def _needs_another(self, caller: Caller) -> bool:
        """Return whether another owner must confirm a new admin key: there is one who could."""
        owners = self._keys.owners_with(AccessScope.ADMIN, self._clock.now_ns())
        return any(not same_person(owner, caller.owner) for owner in owners)

    async def _request(self, asked: KeyBody, caller: Caller) -> Response:
        token, at = secrets.token_hex(TOKEN_BYTES), self._clock.now_ns()
        stored = await self._record(
            lambda version: AdminKeyRequested(
                version=version,
                at=at,
                who=caller.owner,
                reason=asked.reason,
                token=token,
                request=_fingerprint(asked, self._owner(asked, caller)),
            )
        )
        until = rfc3339(at + SECOND_STEP_MAX_NS)
        return Exact({"token": token, "expires_at": until, "who": caller.owner, "seq": stored.seq}, status_code=202)

    def _owner(self, asked: KeyBody, caller: Caller) -> str:
        """Return who will own the key: who is named, else who asked for it first."""
        first = self._keys.asked.get(asked.token or "")
        return asked.owner or (caller.owner if first is None else first.who)

    def _may_confirm(self, asked: KeyBody, caller: Caller) -> None:
        """Check that the second step matches the first. Refusal 403, 409."""
        first = self._keys.asked.get(asked.token or "")
        if first is None or first.request != _fingerprint(asked, self._owner(asked, caller)) or not in_time(first.at, self._clock.now_ns()):
            raise Refusal(409, "not_requested", "no valid request for this key with this token: request again without a token")
        if same_person(first.who, caller.owner):
            raise Refusal(403, "second_person_required", f"{first.who} made the request: another owner must do the second step")

    def _opened(self, version: int, asked: KeyBody, caller: Caller) -> AccountOpened:
        reason = asked.reason or "first key"
        return AccountOpened(version=version, at=self._clock.now_ns(), who=caller.owner, reason=reason, account=asked.account)

    def _created(self, version: int, key_id: str, secret: str | None, asked: KeyBody, caller: Caller) -> KeyCreated:
        now = self._clock.now_ns()
        if asked.token is not None:
            self._may_confirm(asked, caller)  # again, in the journal's order: a token makes one key
        if len(self._keys.by_id) >= KEYS_MAX:
            raise Refusal(409, "too_many_keys", f"there are {KEYS_MAX} keys, which is the bound")
        if self._keys.accounts.get(asked.account) is False:
            raise Refusal(409, "account_closed", "the account is closed: open it before it gets a key", pointer="/account")
        return KeyCreated(
            version=version,
            at=now,
            who=caller.owner,
            reason=asked.reason,
            key_id=key_id,
            owner=self._owner(asked, caller),
            account=asked.account,
            scopes=tuple(scope.value for scope in AccessScope if scope in asked.scopes),
            digest=digest(secret.encode()).hex() if secret else "",
            public_key=asked.public_key or "",
            networks=tuple(asked.networks),
            expires_at=None if asked.expires_in_sec is None else now + asked.expires_in_sec * 1_000_000_000,
            rate=asked.rate,
            burst=asked.burst or 2 * asked.rate,
            note=asked.note,
            token=asked.token or "",
        )

    async def _list(self, account: Annotated[str | None, Query(pattern=rf"^(\*|{IDENTIFIER.pattern})$")] = None) -> Response:
        used = await self._used()
        views, pacing = [], TimeSlice()
        for key in [key for key in self._keys.by_id.values() if account in (None, key.account)]:
            views.append(self._view(key, used))
            await pacing.after(1)
        return Response(
            msgspec.json.encode({"keys": views}), media_type=Exact.media_type
        )  # no Decimal in it, and `Exact` would look for them

    async def _show(self, key_id: KeyId) -> Response:
        return Exact(self._view(self._key(key_id), await self._used()))

    async def _revoke(self, key_id: KeyId, request: Request) -> Response:
        asked, who = read_model(await request.body() or b"{}", RevokeBody), caller_of(request.scope).owner

        def event(version: int) -> KeyRevoked:
            self._key(key_id)
            at = self._clock.now_ns()
            return KeyRevoked(version=version, at=at, who=who, reason=asked.reason, key_id=key_id, cancel_orders=asked.cancel_orders)

        return await self._acknowledged({"key_id": key_id, "state": "revoked"}, await self._record(event))

    async def _rotate(self, key_id: KeyId, request: Request) -> Response:
        asked, who = read_model(await request.body() or b"{}", RotateBody), caller_of(request.scope).owner
        secret = new_secret()

        def event(version: int) -> KeyRotated:
            key = self._live(key_id)
            if key.has(AccessScope.ADMIN) and not same_person(key.owner, who):
                detail = f"an admin key of {key.owner}: only {key.owner} may rotate it; or revoke it, and request another key"
                raise Refusal(403, "second_person_required", detail)
            if not key.digest:
                raise Refusal(409, "no_secret", "this key signs and has no secret: create another key with the new public key")
            now = self._clock.now_ns()
            until = now + asked.grace_sec * 1_000_000_000
            fresh = digest(secret.encode()).hex()
            return KeyRotated(version=version, at=now, who=who, reason=asked.reason, key_id=key_id, digest=fresh, old_until=until)

        stored = await self._record(event)
        key = self._keys.by_id[key_id]
        return await self._acknowledged(self._view(key, {}) | {"secret": secret, "old_secret_until": rfc3339(key.old_until)}, stored)

    async def _limit(self, key_id: KeyId, request: Request) -> Response:
        asked, who = read_model(await request.body(), LimitBody), caller_of(request.scope).owner

        def event(version: int) -> KeyLimited:
            self._live(key_id)
            at = self._clock.now_ns()
            return KeyLimited(version=version, at=at, who=who, reason=asked.reason, key_id=key_id, rate=asked.rate, burst=asked.burst)

        stored = await self._record(event)
        return await self._acknowledged(self._view(self._keys.by_id[key_id], {}), stored)

    async def _end_sessions(self, key_id: KeyId, request: Request) -> Response:
        asked, who = read_model(await request.body() or b"{}", ReasonBody), caller_of(request.scope).owner

        def event(version: int) -> SessionsEnded:
            self._key(key_id)
            return SessionsEnded(version=version, at=self._clock.now_ns(), who=who, reason=asked.reason, key_id=key_id)

        return await self._acknowledged({"key_id": key_id}, await self._record(event))

    async def _history(
        self,
        key: Annotated[str | None, Query(pattern="^[A-Za-z0-9]{1,64}$", description="Only what concerns this key.")] = None,
        since: Annotated[str | None, Query(max_length=64, description=f"Not older than this: {MOMENT_FORMS}.")] = None,
        limit: Annotated[int, Query(ge=1, le=LOG_MAX)] = 100,
    ) -> Response:
        since_ns = moment_asked(since, "since") or 0
        events = [event for event in self._keys.history if event.at >= since_ns and key in (None, getattr(event, "key_id", None))]
        question = AccessQuestion(entries=limit, key_id=key or "", since=since_ns)
        own = self._authority.audit.newest(limit, key_id=question.key_id, since=since_ns)
        rings: dict[str, Sequence[AuditEntry]] = {SERVICE: own}
        rings |= {name: answer.entries for name, answer in (await self._acks.seen(question)).items()}
        return Exact({"log": log_view(events, rings, limit)})

    def _key(self, key_id: str) -> Key:
        key = self._keys.by_id.get(key_id)
        if key is None:
            raise Refusal(404, "key_not_found", "there is no such key")
        return key

    def _live(self, key_id: str) -> Key:
        key = self._key(key_id)
        if not key.live(self._clock.now_ns()):
            raise Refusal(409, "key_ended", "this key is revoked or expired: create another one")
        return key

    async def _used(self) -> Mapping[str, int]:
        used = dict(self._authority.last_used())
        for answer in (await self._acks.seen(AccessQuestion(used=True))).values():
            for key_id, at in answer.used.items():
                used[key_id] = max(at, used.get(key_id, 0))
        return used

    def _view(self, key: Key, used: Mapping[str, int]) -> View:
        now = self._clock.now_ns()
        last = used.get(key.key_id)
        return {
            "key_id": key.key_id,
            "owner": key.owner,
            "account": key.account,
            "scopes": [str(scope) for scope in scopes_of(key.mask)],
            "networks": list(key.networks),
            "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
            "rate": key.rate,
            "burst": key.burst,
            "note": key.note,
            "kind": "public_key" if key.public_key else "secret",
            "created_at": rfc3339(key.created_at),
            "state": "revoked" if key.revoked_at is not None else "live" if key.live(now) else "expired",
            "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
            "last_used_at": None if last is None else rfc3339(last),
        }

    async def _record(self, make: Make) -> Head:
        """Record the event. Refusal 503."""
        try:
            return await self._log.record(make)
        except Unavailable as trouble:
            outcome = "unknown" if trouble.unknown else "not_accepted"
            raise Refusal(503, "unavailable", str(trouble), outcome=outcome, headers={"retry-after": "1"}) from trouble

    async def _acknowledged(self, view: View, stored: Head) -> Response:
        """Return 200 if every service has applied the event or does not run, 202 if it is durable but not acknowledged by all."""
        failpoint("before_access_answer")
        acknowledged = {SERVICE: "yes", **await self._acks.of(stored.seq)}
        status = 202 if "unknown" in acknowledged.values() else 200
        return Exact({**view, "acknowledged": acknowledged, "obeyed": acknowledged, "seq": stored.seq}, status_code=status)


def _fingerprint(asked: KeyBody, owner: str) -> str:
    """Return what identifies a request for an admin key: everything but the reason and the token."""
    named = asked.model_copy(update={"owner": owner})
    return hashlib.sha256(named.model_dump_json(exclude={"reason", "token"}).encode()).hexdigest()
