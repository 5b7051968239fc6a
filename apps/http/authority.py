"""Who calls, and whether the route may be called: keys, their rates and their scopes, judged in front of every handler.

The order is fixed: credentials, key, rate, scope. The account is the handler's business: it gets the caller and treats an account that is
not the caller's like one that does not exist.
"""

import hmac
import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec
from starlette.types import Scope

from apps.http.credentials import KEY_ID, BadCredentials, Secret, Signed, digest, sent_in
from apps.http.problem import Refusal
from apps.http.route_scopes import RouteScopes, Table
from domain.access.keys import Key, Keys
from domain.access.scopes import BITS, EVERY_ACCOUNT, AccessScope, mask_of, scopes_of
from domain.execution.token_bucket import TokenBucket
from domain.ports import Clock

Mode = Literal["open", "keys"]

LOCAL: Final = "local"
"""The caller without a key in open mode."""
CANCELS_A_SECOND: Final = 50
CANCELS_BURST: Final = 500
FAILURES_BURST: Final = 20
"""Failed credentials of one address that are looked at before it has to wait a second for each."""
ADDRESSES_MAX: Final = 10_000
"""Addresses whose failures are remembered; the one that failed first is forgotten first."""

UNAUTHORIZED: Final = Refusal(401, "unauthorized", "a valid key is needed", headers={"WWW-Authenticate": "Bearer"})
ACCESS_UNKNOWN: Final = Refusal(
    503, "access_unknown", "the keys are not known now; retry", headers={"Retry-After": "1"}, outcome="not_accepted"
)
_NOBODY: Final = digest(b"")
"""Compared with for an unknown key, so that it takes as long as a known one."""
_OPEN_TO_LOCAL: Final = mask_of((AccessScope.READ, AccessScope.TRADE, AccessScope.RISK, AccessScope.OPS))


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who calls. `account` is `*` for a key of every account."""

    key_id: str
    owner: str
    account: str
    mask: int

    def owns(self, account: str) -> bool:
        """Return whether this caller may see and change the account."""
        return self.account in (account, EVERY_ACCOUNT)

    @property
    def scopes(self) -> tuple[AccessScope, ...]:
        return scopes_of(self.mask)


LOCAL_CALLER: Final = Caller(LOCAL, LOCAL, EVERY_ACCOUNT, _OPEN_TO_LOCAL)


def caller_of(scope: Scope) -> Caller:
    """Return who makes this request. The listener has set it; KeyError in a handler that no listener guards."""
    caller: Caller = scope["caller"]
    return caller


class Buckets:
    """The rates of one key: requests, and cancels from a bucket of their own that trading cannot empty."""

    __slots__ = ("burst", "cancels", "rate", "requests")

    def __init__(self, rate: int, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.requests = TokenBucket(rate, burst)
        self.cancels = TokenBucket(CANCELS_A_SECOND, CANCELS_BURST)


class Authority:
    """Judges the requests of one service."""

    def __init__(self, mode: Mode, keys: Keys, table: Table, clock: Clock, known: Callable[[], bool]) -> None:
        """`known`: whether the keys are read up to now. Without that no request that changes anything is admitted."""
        self._mode = mode
        self._keys = keys
        self._routes = RouteScopes(table)
        self._clock = clock
        self._known = known
        self._callers: dict[str, Caller] = {}
        self._buckets: dict[str, Buckets] = {}
        self._failures: dict[str, TokenBucket] = {}
        self._networks: dict[str, tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]] = {}
        self.refused: Counter[str] = Counter()

    def admit(self, method: str, path: str, address: str, found: Mapping[bytes, bytes]) -> Caller | None:
        """Return who calls; None for a route that is open to all. Refusal 401, 403, 429, 503."""
        try:
            return self._admitted(method, path, address, found)
        except Refusal as refusal:
            self.refused[refusal.code] += 1
            raise

    def _admitted(self, method: str, path: str, address: str, found: Mapping[bytes, bytes]) -> Caller | None:
        has_row, needed = self._routes.find(method, path)
        if has_row and needed is None:
            return None
        caller, key = self._caller(address, found)
        if not has_row:
            return caller  # the application answers 404 or 405, to those who may ask at all
        assert needed is not None
        if key is not None:
            self._take(key, cancels=needed is AccessScope.CANCEL)
        if not caller.mask & BITS[needed]:
            raise Refusal(403, "scope_missing", f"this needs the scope {needed}", needs=str(needed))
        return caller

    def _caller(self, address: str, found: Mapping[bytes, bytes]) -> tuple[Caller, Key | None]:
        try:
            sent = sent_in(found)
        except BadCredentials:
            raise self._failed(address) from None
        if sent is None:
            if self._mode == "open":
                return LOCAL_CALLER, None
            raise UNAUTHORIZED
        if not self._known():
            raise ACCESS_UNKNOWN
        if (failures := self._failures.get(address)) is not None and not failures.ready(self._clock.monotonic_ns()):
            raise self._too_often(failures.wait_ns(self._clock.monotonic_ns()))
        key = self._verified(sent, address)
        if key is None:
            raise self._failed(address)
        caller = self._callers.get(key.key_id)
        if caller is None:
            caller = self._callers[key.key_id] = Caller(key.key_id, key.owner, key.account, key.mask)
        return caller, key

    def _verified(self, sent: Secret | Signed, address: str) -> Key | None:
        """The key that the secret opens. Whatever is wrong, it takes the same steps."""
        if isinstance(sent, Signed):
            return None  # signatures need the body: the session route verifies them
        key = self._keys.by_id.get(sent.key_id) if KEY_ID.fullmatch(sent.key_id) else None
        now = self._clock.now_ns()
        hashed = digest(sent.secret)
        same = hmac.compare_digest(hashed, key.digest if key is not None else _NOBODY)
        if key is None:
            return None
        if not same and now < key.old_until:
            same = hmac.compare_digest(hashed, key.old_digest)
        return key if same and key.digest and key.live(now) and self._from_its_network(key, address) else None

    def _from_its_network(self, key: Key, address: str) -> bool:
        if not key.networks:
            return True
        networks = self._networks.get(key.key_id)
        if networks is None:
            networks = self._networks[key.key_id] = tuple(map(ipaddress.ip_network, key.networks))
        try:
            asked = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(asked in network for network in networks)

    def _take(self, key: Key, *, cancels: bool) -> None:
        buckets = self._buckets.get(key.key_id)
        if buckets is None or (buckets.rate, buckets.burst) != (key.rate, key.burst):
            buckets = self._buckets[key.key_id] = Buckets(key.rate, key.burst)
        bucket = buckets.cancels if cancels else buckets.requests
        now = self._clock.monotonic_ns()
        if not bucket.ready(now):
            raise self._too_often(bucket.wait_ns(now))
        bucket.take(now)

    def _failed(self, address: str) -> Refusal:
        failures = self._failures.get(address)
        if failures is None:
            if len(self._failures) >= ADDRESSES_MAX:
                del self._failures[next(iter(self._failures))]
            failures = self._failures[address] = TokenBucket(1, FAILURES_BURST)
        failures.take(self._clock.monotonic_ns())
        return UNAUTHORIZED

    @staticmethod
    def _too_often(wait_ns: int) -> Refusal:
        seconds = max(1, -(-wait_ns // 1_000_000_000))
        return Refusal(429, "rate_limited", "too many requests with this key or from this address", headers={"Retry-After": str(seconds)})
