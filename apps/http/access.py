"""Access rules of a request: Host, Origin and content type, checked before any handler runs and before the body is read.

A page of another site, open in a browser on this machine, can reach every port of it. It cannot choose `Host` (so DNS rebinding to
127.0.0.1 is detected), cannot hide `Origin` on a request that changes something, and cannot send `application/json` without a preflight
request, which is refused as well. Programs send neither `Origin` nor `Sec-Fetch-Site`.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Self

from starlette.types import Scope

from apps.http.credentials import HEADERS
from apps.http.problem import Refusal
from config.access_mode import KEYS
from config.exposure import access_mode
from config.settings import Settings

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
WILDCARDS: Final = ("", "0.0.0.0", "::")
"""Listen addresses that a client cannot use as a host."""

SPELLED_MAX: Final = 64
"""Accepted values of Host that are cached as they were written, with their port."""

_JSON: Final = b"application/json"
_FORM: Final = b"application/x-www-form-urlencoded"
_OWN_SITE: Final = (b"same-origin", b"none")
"""Sec-Fetch-Site of the service's own pages, and of an address that the user typed."""
_READS: Final = ("GET", "HEAD")

_WATCHED: Final = frozenset(
    (
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"transfer-encoding",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        *HEADERS,
    )
)

HOST_UNKNOWN: Final = Refusal(421, "host_unknown", "this Host is not a name of this service; further names are listed in access.hosts")
ORIGIN_REFUSED: Final = Refusal(
    403, "origin_refused", "requests from pages of this origin are not allowed; allowed origins are listed in access.origins"
)
JSON_WANTED: Final = Refusal(415, "json_wanted", "a body must be sent as content-type: application/json")
REFUSALS: Final = (HOST_UNKNOWN, ORIGIN_REFUSED, JSON_WANTED)


def watched(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers of a request that decide whether it is admitted. A repeated one is joined, and then equals no accepted value."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _WATCHED:
            found[name] = value if name not in found else found[name] + b"," + value
    return found


class Access:
    """The rules of one service. `hosts` are names or addresses without a port, IPv6 in brackets; `origins` are scheme, host and port.

    `json_only`: a body must be sent as JSON by programs too, as in keys mode.
    """

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = (), *, json_only: bool = False) -> None:
        self._json_only = json_only
        self._hosts = frozenset(host.lower().encode() for host in (*LOOPBACK, *hosts))
        self._spelled: set[bytes] = set()
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self.refused: Counter[str] = Counter({refusal.code: 0 for refusal in REFUSALS})

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rules that the configuration lists, with the address that the service listens on. ConfigError."""
        service = settings.service
        access = settings.access
        return cls((*own_hosts(service.host, service.name), *access.hosts), access.origins, json_only=access_mode(settings) == KEYS)

    def refusal(self, scope: Scope, found: Mapping[bytes, bytes]) -> Refusal | None:
        """Return why a request with these headers (`watched`) is refused, and count it; None if it is admitted."""
        refusal = self._judged(scope.get("method", "GET"), found)  # the handshake of a websocket is a GET
        if refusal is not None:
            self.refused[refusal.code] += 1
        return refusal

    def _judged(self, method: str, found: Mapping[bytes, bytes]) -> Refusal | None:
        host = found.get(b"host", b"")
        if host not in self._spelled and not self._ours(host):
            return HOST_UNKNOWN
        origin, site = found.get(b"origin"), found.get(b"sec-fetch-site")
        if origin is not None:
            if not self._accepted(origin, host):
                return ORIGIN_REFUSED
        elif site is not None and site not in _OWN_SITE and not _navigates(method, found):
            return ORIGIN_REFUSED
        if b"transfer-encoding" not in found and found.get(b"content-length", b"0") == b"0":
            return None
        strictly = self._json_only or origin is not None or site is not None
        return None if _readable(found.get(b"content-type"), strictly=strictly) else JSON_WANTED

    def _ours(self, host: bytes) -> bool:
        """Return whether `host` is a name of this service, in any case, with or without a port."""
        name, colon, port = host.lower().rpartition(b":")
        ours = port.isdigit() and name in self._hosts if colon and not port.endswith(b"]") else host.lower() in self._hosts
        if ours and len(self._spelled) < SPELLED_MAX:
            self._spelled.add(host)
        return ours

    def _accepted(self, origin: bytes, host: bytes) -> bool:
        """Return whether the origin is the requested address itself (an own page) or one that the configuration lists."""
        origin, host = origin.lower(), host.lower()
        return origin in (b"http://" + host, b"https://" + host) or origin in self._origins


def own_hosts(host: str, name: str) -> tuple[str, ...]:
    """Return the names of a service that listens on `host`.

    Beyond loopback the service runs in a container, and other containers use the service's name.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if host in WILDCARDS:
        return (name,)
    if address is None:
        return (host,) if host.lower() == "localhost" else (host, name)
    text = f"[{address}]" if address.version == 6 else str(address)
    return (text,) if address.is_loopback else (text, name)


def _navigates(method: str, found: Mapping[bytes, bytes]) -> bool:
    """Return whether the browser follows a link, so that the linking page cannot read the response.

    A frame, an image or a script of another site does not count.
    """
    return method in _READS and found.get(b"sec-fetch-mode") == b"navigate" and found.get(b"sec-fetch-dest") == b"document"


def _readable(kind: bytes | None, *, strictly: bool) -> bool:
    """Return whether the content type is JSON; unless `strictly`, curl's form type or no type is accepted too."""
    if kind == _JSON:
        return True
    media = None if kind is None else kind.partition(b";")[0].strip().lower()
    return media == _JSON or (not strictly and media in (None, _FORM))
