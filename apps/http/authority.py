"""Who calls, and whether the route may be called: keys, their rates and their scopes, judged in front of every handler.

The order is fixed: credentials, key, rate, scope. The account is the handler's business: it gets the caller and treats an account that is
not the caller's like one that does not exist.
"""

import base64
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import structs
from starlette.types import Scope

from apps.http.audit import ADDRESSES_OF_A_KEY_MAX, AccessAudit
from apps.http.caller import LOCAL_CALLER, Caller, Rate, access_unknown, scope_missing, unauthorized
from apps.http.client_address import Network, client_address
from apps.http.credentials import (
    KEY_ID,
    WINDOW_MAX_MS,
    BadCredentials,
    Secret,
    Signed,
    digest,
    new_key_id,
    new_secret,
    sent_in,
    signed_text,
)
from apps.http.problem import Refusal
from apps.http.route_scopes import STOPS, Found, RouteScopes, Row, Table
from apps.http.session_cookie import with_bearer
from config.access_mode import OPEN, Mode
from domain.access.keys import Key, KeyRing
from domain.access.scopes import EVERY_ACCOUNT, AccessScope, bits
from domain.execution.token_bucket import TokenBucket
from domain.ports import Clock

Sent = Secret | Signed | None

CANCELS_A_SECOND: Final = 50
CANCELS_BURST: Final = 500
FAILURES_BURST: Final = 20
"""Failed credentials of one address that are looked at before it has to wait a second for each."""
ADDRESSES_MAX: Final = 10_000
"""Addresses whose failures are remembered; the one that failed first is forgotten first."""
CHANGES_WITHIN_NS: Final = 1_000_000_000
READS_WITHIN_NS: Final = 10_000_000_000
STOPS_WITHIN_NS: Final = 3600 * 1_000_000_000
"""How long ago the keys must have been read to their end for a request that changes something, that reads, and that stops trading."""
AHEAD_MAX_NS: Final = 1_000_000_000
"""How far the clock of a caller that signs may be ahead."""
NONCES_MAX: Final = 10_000
"""Nonces of one key that are remembered for their window. Beyond that its signatures are refused, never forgotten."""

_DUMMY: Final = digest(b"")
"""Compared with for an unknown key, so that it takes as long as a known one."""
_READS: Final = ("GET", "HEAD")


class KeysKnown:
    """How recently the keys were known to be complete. Requests are judged by it, never by an older state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: int | None = None

    def read_to_end(self, at_ns: int) -> None:
        """Record that all access events of this moment (monotonic nanoseconds) have been applied."""
        self._at = at_ns

    def within(self, age_ns: int) -> bool:
        return self._at is not None and self._clock.monotonic_ns() - self._at < age_ns


class _InUse:
    """One key that was used: its caller, its buckets, and where it was seen."""

    __slots__ = ("addresses", "burst", "caller", "cancels", "networks", "nonces", "rate", "requests", "used_at")

    def __init__(self, key: Key) -> None:
        self.caller = Caller(key.key_id, key.owner, key.account, key.mask)
        self.networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, key.networks))
        self.cancels: TokenBucket | None = None
        self.addresses: tuple[str, ...] = ()
        self.nonces: dict[str, int] | None = None
        self.used_at = 0
        self.limit(key)

    def limit(self, key: Key) -> None:
        self.rate, self.burst = key.rate, key.burst
        self.requests = TokenBucket(key.rate, key.burst)


class Authority:
    """Judges the requests of one service."""

    def __init__(
        self,
        mode: Mode,
        keys: KeyRing,
        table: Table,
        clock: Clock,
        known: KeysKnown,
        proxies: tuple[Network, ...] = (),
        *,
        takes_cookies: bool = False,
    ) -> None:
        """`proxies`: networks of the proxies in front, whose X-Forwarded-For names the client.

        `takes_cookies`: the cookie of a signed-in page counts as the token of its session.
        """
        self.mode: Final = mode
        self.takes_cookies: Final = takes_cookies
        self._proxies = proxies
        self.keys = keys
        self.known = known
        self.audit = AccessAudit(clock)
        self._routes = RouteScopes(table)
        self._clock = clock
        self._in_use: dict[str, _InUse] = {}
        self._failures: dict[str, TokenBucket] = {}
        self._helper: tuple[bytes, Caller] | None = None
        self._began_ns = clock.monotonic_ns()

    def admit(self, method: str, path: str, address: str, sent: Sent, route: Found) -> tuple[Caller, Rate | None]:
        """Return who calls, and the key's rate if there is one. Refusal 401, 403, 429, 503.

        `sent`: the credentials of the request (`read`). A signature must have been verified by `verify` before. `route`: see `route`.
        """
        try:
            return self._admitted(method, address, sent, route)
        except Refusal as refusal:
            self._note(refusal, sent, address, f"{method} {path}")
            raise

    def read(self, method: str, path: str, address: str, found: Mapping[bytes, bytes]) -> Sent:
        """Read the credentials of a request. Refusal 401, 429."""
        try:
            return sent_in(found)
        except BadCredentials:
            refusal = self._failed(address)
            self._note(refusal, None, address, f"{method} {path}")
            raise refusal from None

    def without_cookie(self, scope: Scope, address: str) -> Scope:
        """Return a request with its cookie, where cookies count, as a bearer token. Refusal 401, 403, 429."""
        try:
            return with_bearer(scope)
        except BadCredentials:
            refusal = self._failed(address)
        except Refusal as refused:
            refusal = refused
        self._note(refusal, None, address, f"{scope['method']} {scope['path']}")
        raise refusal

    def address(self, scope: Scope) -> str:
        """Return the address of the client."""
        return client_address(scope, self._proxies)

    def route(self, method: str, path: str) -> Found:
        """Return whether the table has the route, and the scopes of which it needs one; None if it is answered without a key."""
        return self._routes.find(method, path)

    def methods(self, path: str) -> list[str]:
        """Return the methods that the table has at this address."""
        return self._routes.methods(path)

    def verify(self, signed: Signed, method: str, path: str, target: str, address: str, body: bytes, route: Found) -> None:
        """Verify a signed request: key, time, nonce and signature. Refusal 401, 429, 503."""
        try:
            self._verify(signed, method, route[1], target, address, body)
        except Refusal as refusal:
            self._note(refusal, signed, address, f"{method} {path}")
            raise

    def rate_of(self, caller: Caller) -> Rate | None:
        """Return what is left of a key's rate; None for a caller without one."""
        state = self._in_use.get(caller.key_id)
        return None if state is None else _rate(state.requests, state.burst, self._clock.monotonic_ns())

    def last_used(self) -> Mapping[str, int]:
        """Return when each key was last used here, to the minute, in nanoseconds UTC."""
        return {key_id: state.used_at for key_id, state in self._in_use.items()}

    def still_admits(self, caller: Caller) -> bool:
        """Return whether a caller that was admitted would be admitted now, for an answer that continues: its key, session and scopes."""
        if caller == LOCAL_CALLER:
            return self.mode == OPEN
        key = self.keys.by_id.get(caller.key_id)
        now = self._clock.now_ns()
        if key is None or not key.live(now) or key.mask != caller.mask or not self.known.within(READS_WITHIN_NS):
            return False
        session = self.keys.sessions.get(caller.session) if caller.session else None
        return not caller.session or (session is not None and now < session.expires_at)

    def key_of_helper(self) -> str:
        """Return a key for a program that this service starts itself: it may read everything here, as long as this process runs."""
        key_id, secret = new_key_id(), new_secret()
        self._helper = digest(secret.encode()), Caller(key_id, "helper", EVERY_ACCOUNT, bits(AccessScope.READ, AccessScope.AUDIT))
        return f"{key_id}.{secret}"

    def _admitted(self, method: str, address: str, sent: Sent, route: Found) -> tuple[Caller, Rate | None]:
        has_row, needed = route
        caller, state = self._caller(_age_max_ns(method, needed), address, sent)
        rate = None if state is None else self._taken(state, cancels=bool(needed and needed & STOPS))
        if not has_row:
            return caller, rate  # the answer is 404 or 405, for those who may ask at all
        if needed is not None and not caller.mask & needed:
            raise scope_missing(needed, rate)
        return caller, rate

    def _caller(self, age_max_ns: int, address: str, sent: Sent) -> tuple[Caller, _InUse | None]:
        if sent is None:
            if self.mode == OPEN:
                return LOCAL_CALLER, None
            raise unauthorized()
        if not self.known.within(age_max_ns):
            raise access_unknown()
        if isinstance(sent, Signed):
            key = self.keys.by_id[sent.key_id]
        else:
            if self._helper is not None and sent.key_id == self._helper[1].key_id:
                return self._by_helper(sent, address), None
            key = self._verified(sent, address)
        state = self._state(key)
        self._used(key, state, address)
        if isinstance(sent, Secret) and not sent.key_id:
            return structs.replace(state.caller, session=digest(sent.secret)), state
        return state.caller, state

    def _by_helper(self, sent: Secret, address: str) -> Caller:
        assert self._helper is not None
        if not hmac.compare_digest(digest(sent.secret), self._helper[0]):
            raise self._failed(address)
        return self._helper[1]

    def _verified(self, sent: Secret, address: str) -> Key:
        """Return the key that the secret opens. Whatever is wrong, it takes the same steps and gets the same refusal. Refusal 401."""
        now = self._clock.now_ns()
        hashed = digest(sent.secret)
        key_id = sent.key_id
        if not key_id:
            session = self.keys.sessions.get(hashed)
            key_id = session.key_id if session is not None and now < session.expires_at else ""
            key = self.keys.by_id.get(key_id)
            same = key is not None
        else:
            key = self.keys.by_id.get(key_id) if KEY_ID.fullmatch(key_id) else None
            same = hmac.compare_digest(hashed, key.digest if key is not None else _DUMMY)
            if key is not None and not same and now < key.old_until:
                same = hmac.compare_digest(hashed, key.old_digest)
            same = same and key is not None and bool(key.digest)
        if key is None or not same or not key.live(now) or not self._from_its_network(key, address):
            raise self._failed(address)
        return key

    def _verify(self, signed: Signed, method: str, needed: Row, target: str, address: str, body: bytes) -> None:
        if not self.known.within(_age_max_ns(method, needed)):
            raise access_unknown()
        if (refusal := self._throttled(address)) is not None:
            raise refusal
        now, at = self._clock.now_ns(), signed.at_ms * 1_000_000
        key = self.keys.by_id.get(signed.key_id) if KEY_ID.fullmatch(signed.key_id) else None
        lived = self._clock.monotonic_ns() - self._began_ns  # the nonces of an earlier process are forgotten: nothing from before this one
        in_time = now - min(signed.window_ms * 1_000_000, lived) <= at <= now + AHEAD_MAX_NS
        if key is None or not key.public_key or not in_time or not key.live(now) or not self._from_its_network(key, address):
            raise self._failed(address)
        text = signed_text(method, target, str(signed.at_ms), signed.nonce, body)
        try:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key)).verify(signed.signature, text)
        except (InvalidSignature, ValueError):
            raise self._failed(address) from None
        nonces = self._nonces(key, now)
        if signed.nonce in nonces:
            raise self._failed(address)
        nonces[signed.nonce] = at + WINDOW_MAX_MS * 1_000_000  # the window is not signed: a copy may claim the longest one

    def _nonces(self, key: Key, now: int) -> dict[str, int]:
        """Return the nonces of the key that are still in their window. Refusal 429 if they are too many."""
        state = self._state(key)
        nonces = state.nonces
        if nonces is None:
            nonces = state.nonces = {}
        if len(nonces) >= NONCES_MAX:
            nonces = state.nonces = {nonce: until for nonce, until in nonces.items() if until >= now}
            if len(nonces) >= NONCES_MAX:
                raise _too_often(1_000_000_000)
        return nonces

    def _state(self, key: Key) -> _InUse:
        state = self._in_use.get(key.key_id)
        if state is None:
            state = self._in_use[key.key_id] = _InUse(key)
        elif state.rate != key.rate or state.burst != key.burst:
            state.limit(key)
        return state

    def _used(self, key: Key, state: _InUse, address: str) -> None:
        now = self._clock.now_ns()
        state.used_at = now - now % 60_000_000_000
        if address not in state.addresses:
            state.addresses = (address, *state.addresses[: ADDRESSES_OF_A_KEY_MAX - 1])
            self.audit.first_use(key.key_id, address)

    def _from_its_network(self, key: Key, address: str) -> bool:
        if not key.networks:
            return True
        try:
            asked = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(asked in network for network in self._state(key).networks)

    def _taken(self, state: _InUse, *, cancels: bool) -> Rate:
        """Take a token of the key. Refusal 429."""
        if cancels:
            bucket, burst = state.cancels or TokenBucket(CANCELS_A_SECOND, CANCELS_BURST), CANCELS_BURST
            state.cancels = bucket
        else:
            bucket, burst = state.requests, state.burst
        now = self._clock.monotonic_ns()
        if not bucket.ready(now):
            raise _too_often(bucket.wait_ns(now), _rate(bucket, burst, now))
        bucket.take(now)
        return _rate(bucket, burst, now)

    def _throttled(self, address: str) -> Refusal | None:
        failures = self._failures.get(address)
        now = self._clock.monotonic_ns()
        return None if failures is None or failures.ready(now) else _too_often(failures.wait_ns(now))

    def _failed(self, address: str) -> Refusal:
        """Count a failure of the address and return its refusal: 401, or 429 after too many.

        A valid key passes however often others fail at its address: many programs share one, and the hash that finds out costs 2 us.
        A signature costs 500 us to verify, so an address that failed too often has to wait before that.
        """
        if (refusal := self._throttled(address)) is not None:
            return refusal
        failures = self._failures.get(address)
        if failures is None:
            if len(self._failures) >= ADDRESSES_MAX:
                del self._failures[next(iter(self._failures))]
            failures = self._failures[address] = TokenBucket(1, FAILURES_BURST)
        failures.take(self._clock.monotonic_ns())
        return unauthorized()

    def _note(self, refusal: Refusal, sent: Sent, address: str, route: str) -> None:
        self.audit.refusal(refusal.code, sent.key_id if sent is not None else "", address, route)


def _age_max_ns(method: str, needed: Row) -> int:
    """Return how old the keys may be that admit a request."""
    if needed is not None and needed & STOPS:
        return STOPS_WITHIN_NS
    return READS_WITHIN_NS if method in _READS else CHANGES_WITHIN_NS


def _rate(bucket: TokenBucket, burst: int, now: int) -> Rate:
    return Rate(burst, max(bucket.tokens(now), 0), -(-bucket.full_in_ns(now) // 1_000_000_000))


def _too_often(wait_ns: int, rate: Rate | None = None) -> Refusal:
    seconds = max(1, -(-wait_ns // 1_000_000_000))
    headers = {"Retry-After": str(seconds)}
    if rate is not None:
        headers |= rate.texts()
    return Refusal(429, "rate_limited", "too many requests with this key or from this address", headers=headers, outcome="not_accepted")
