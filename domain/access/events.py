"""Access events: accounts opened and closed, keys created, changed and revoked. No event holds a secret."""

import msgspec


class AccessEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """`version` counts access events without gaps, from 1. `at`: nanoseconds UTC. `who`: the owner of the admin key that asked."""

    version: int
    at: int
    who: str
    reason: str = ""


class AccountOpened(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    account: str


class AccountClosed(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """From now on the account takes cancels only."""

    account: str


class KeyCreated(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A key with a secret (`digest`: SHA-256 of it, hex) or with a public key (`public_key`: Ed25519, base64), never with both.

    `account` may be `*`. `networks`: CIDR, empty for all. `expires_at`: nanoseconds UTC. `rate` and `burst`: requests a second.
    """

    key_id: str
    owner: str
    account: str
    scopes: tuple[str, ...]
    digest: str = ""
    public_key: str = ""
    networks: tuple[str, ...] = ()
    expires_at: int | None = None
    rate: int
    burst: int
    note: str = ""


class KeyRotated(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A new secret. The old one is good until `old_until`."""

    key_id: str
    digest: str
    old_until: int


class KeyRevoked(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    key_id: str


class KeyLimited(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Other rates of a key."""

    key_id: str
    rate: int
    burst: int


class SessionsEnded(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Every session of the key that began before `at` is over."""

    key_id: str


AccessChange = AccountOpened | AccountClosed | KeyCreated | KeyRotated | KeyRevoked | KeyLimited | SessionsEnded
