"""Accounts and keys as the access events made them."""

from collections import deque
from typing import Final

import msgspec

from domain.access.events import (
    AccessChange,
    AccountClosed,
    AccountOpened,
    KeyCreated,
    KeyLimited,
    KeyRevoked,
    KeyRotated,
    SessionsEnded,
)
from domain.access.scopes import AccessScope, mask_of

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
    old_digest: bytes = b""
    old_until: int = 0
    revoked_at: int | None = None
    sessions_from: int = 0
    """Sessions that began before this time (ns) are over."""

    def live(self, now_ns: int) -> bool:
        """Return whether the key may be used at this time: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now_ns < self.expires_at)


class Keys:
    """Accounts and keys of the whole system. Unknown accounts are neither open nor closed."""

    def __init__(self) -> None:
        self.version = 0
        self.accounts: dict[str, bool] = {}
        """By name, whether the account is open."""
        self.by_id: dict[str, Key] = {}
        self.history: deque[AccessChange] = deque(maxlen=HISTORY_KEPT_MAX)

    def apply(self, event: AccessChange) -> None:
        """Apply an event. It never refuses: what may not be asked was refused before it was recorded."""
        self.version = event.version
        self.history.append(event)
        match event:
            case AccountOpened():
                self.accounts[event.account] = True
            case AccountClosed():
                self.accounts[event.account] = False
            case KeyCreated():
                self.by_id[event.key_id] = _key(event)
            case KeyRotated() if key := self.by_id.get(event.key_id):
                key.old_digest, key.old_until, key.digest = key.digest, event.old_until, bytes.fromhex(event.digest)
            case KeyRevoked() if key := self.by_id.get(event.key_id):
                key.revoked_at = event.at
            case KeyLimited() if key := self.by_id.get(event.key_id):
                key.rate, key.burst = event.rate, event.burst
            case SessionsEnded() if key := self.by_id.get(event.key_id):
                key.sessions_from = event.at

    def may_trade(self, account: str) -> bool:
        """Return whether new orders of the account may pass: it was opened and not closed."""
        return self.accounts.get(account, False)


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
    )
