"""Accounts, keys and sessions as the access events made them."""

from collections import deque
from typing import Final

import msgspec

from domain.access.events import (
    AccessAccepted,
    AccessChange,
    AccountClosed,
    AccountOpened,
    AdminKeyRequested,
    KeyCreated,
    KeyLimited,
    KeyRevoked,
    KeyRotated,
    SessionsEnded,
    SessionStarted,
)
from domain.access.scopes import BITS, AccessScope, mask_of
from domain.four_eyes import in_time

HISTORY_KEPT_MAX: Final = 1000
"""How many access events are kept for readers; all of them are in the journal."""


class Key(msgspec.Struct, gc=False):
    """One key. `digest` is SHA-256 of its secret, or empty for a key that signs. `old_digest` is good until `old_until` (ns)."""

    key_id: str
    owner: str
    account: str
    mask: int
    digest: bytes
    public_key: str
    networks: tuple[str, ...]
    expires_at: int | None
    rate: int
    burst: int
    created_at: int
    note: str = ""
    command_line: bool = False
    old_digest: bytes = b""
    old_until: int = 0
    revoked_at: int | None = None

    def live(self, now_ns: int) -> bool:
        """Return whether the key may be used at this time: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now_ns < self.expires_at)

    def has(self, scope: AccessScope) -> bool:
        return bool(self.mask & BITS[scope])


class Session(msgspec.Struct, frozen=True, gc=False):
    """A token of a key, good until `expires_at` (ns). `began`: when it was started (ns); a renewal keeps it."""

    key_id: str
    expires_at: int
    began: int


class KeyRing:
    """Accounts, keys and sessions of the whole system. Unknown accounts are neither open nor closed."""

    def __init__(self) -> None:
        self.version = 0
        self.accounts: dict[str, bool] = {}
        """By name, whether the account is open."""
        self.by_id: dict[str, Key] = {}
        self.sessions: dict[bytes, Session] = {}
        """By the SHA-256 of the token, in the order in which they began."""
        self.asked: dict[str, AdminKeyRequested] = {}
        """Requests for admin keys that wait for their second step, by token."""
        self.history: deque[AccessChange] = deque(maxlen=HISTORY_KEPT_MAX)
        """The newest events; without the starts of sessions, which are many."""

    def apply(self, event: AccessChange) -> None:
        """Apply an event. It never refuses: what may not be requested was refused before it was recorded."""
        self.version = event.version
        if not isinstance(event, SessionStarted):
            self.history.append(event)
        match event:
            case AccountOpened():
                self.accounts[event.account] = True
            case AccountClosed():
                self.accounts[event.account] = False
            case KeyCreated():
                self.by_id[event.key_id] = _key(event)
                self.asked.pop(event.token, None)
            case KeyRotated() if key := self.by_id.get(event.key_id):
                key.old_digest, key.old_until, key.digest = key.digest, event.old_until, bytes.fromhex(event.digest)
                if event.old_until <= event.at:
                    self._end_sessions(event.key_id)  # who holds the old secret may have started them
            case KeyRevoked() if key := self.by_id.get(event.key_id):
                key.revoked_at = event.at
                self._end_sessions(event.key_id)
            case KeyLimited() if key := self.by_id.get(event.key_id):
                key.rate, key.burst = event.rate, event.burst
            case AdminKeyRequested():
                self._ask(event)
            case SessionStarted():
                self._start_session(event)
            case SessionsEnded() if event.digest:
                self.sessions.pop(bytes.fromhex(event.digest), None)
            case SessionsEnded():
                self._end_sessions(event.key_id)
            case AccessAccepted() if event.lost:
                self._lost(event.at)

    def may_trade(self, account: str) -> bool:
        """Return whether new orders of the account may pass: it is not closed."""
        return self.accounts.get(account, True)

    def owner_of(self, key_id: str) -> str | None:
        """Return the owner of a key; None if there is no such key."""
        key = self.by_id.get(key_id)
        return None if key is None else key.owner

    def sessions_of(self, key_id: str, now_ns: int) -> int:
        """Return how many sessions of the key are good at this time."""
        return sum(each.key_id == key_id and now_ns < each.expires_at for each in self.sessions.values())

    def owners_with(self, scope: AccessScope, now_ns: int) -> set[str]:
        """Return the owners who have a live key with this scope."""
        return {key.owner for key in self.by_id.values() if key.has(scope) and key.live(now_ns)}

    def _ask(self, event: AdminKeyRequested) -> None:
        self.asked = {token: each for token, each in self.asked.items() if in_time(each.at, event.at)}
        self.asked[event.token] = event

    def _start_session(self, event: SessionStarted) -> None:
        hashed = bytes.fromhex(event.digest)
        known = self.sessions.get(hashed)
        over = [digest for digest, each in self.sessions.items() if each.expires_at <= event.at]
        for digest in over:
            del self.sessions[digest]
        self.sessions[hashed] = Session(event.key_id, event.expires_at, event.at if known is None else known.began)

    def _end_sessions(self, key_id: str) -> None:
        self.sessions = {digest: each for digest, each in self.sessions.items() if each.key_id != key_id}

    def _lost(self, at: int) -> None:
        for key in self.by_id.values():
            if not key.command_line and key.revoked_at is None:
                key.revoked_at = at
        self.sessions.clear()
        self.asked.clear()


def _key(event: KeyCreated) -> Key:
    return Key(
        key_id=event.key_id,
        owner=event.owner,
        account=event.account,
        mask=mask_of(AccessScope(scope) for scope in event.scopes),
        digest=bytes.fromhex(event.digest),
        public_key=event.public_key,
        networks=event.networks,
        expires_at=event.expires_at,
        rate=event.rate,
        burst=event.burst,
        created_at=event.at,
        note=event.note,
        command_line=event.command_line,
    )
