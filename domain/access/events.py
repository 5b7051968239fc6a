"""Access events: accounts opened and closed, keys created, changed and revoked, sessions. No event holds a secret."""

import msgspec

from domain.order.events import Foreign


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
    `token`: of the AdminKeyRequested whose second step this is. `command_line`: the key in the secrets of this installation, which risk
    itself records.
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
    token: str = ""
    command_line: bool = False


class KeyRotated(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A new secret. The old one is good until `old_until`."""

    key_id: str
    digest: str
    old_until: int


class KeyRevoked(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The key is dead. `cancel_orders`: oms cancels the open orders of its account."""

    key_id: str
    cancel_orders: bool = False


class KeyLimited(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """Other rates of a key."""

    key_id: str
    rate: int
    burst: int


class AdminKeyRequested(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The first of two steps to create a key with the scope admin. Another owner repeats it with the token. `request`: its SHA-256, hex."""

    token: str
    request: str


class SessionStarted(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """A token of the key (`digest`: SHA-256 of it, hex) is good until `expires_at` (ns), from the networks of the key.

    For a token that is good already it is a renewal.
    """

    key_id: str
    digest: str
    expires_at: int


class SessionsEnded(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """The session of this digest is over; without one, every session of the key."""

    key_id: str
    digest: str = ""


class AccessAccepted(AccessEvent, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator accepted that the journal of access continues from a sequence, past foreign messages (`skipped`).

    `lost`: commits up to another sequence had been acknowledged. A revocation may be among them, so every key but the command line's is
    revoked, and every session is over.
    """

    goes_on_from: int
    acknowledged_to: int
    lost: bool = True
    skipped: tuple[Foreign, ...] = ()


AccessChange = (
    AccountOpened
    | AccountClosed
    | KeyCreated
    | KeyRotated
    | KeyRevoked
    | KeyLimited
    | AdminKeyRequested
    | SessionStarted
    | SessionsEnded
    | AccessAccepted
)
