"""The cookie of a page whose user has signed in. It is a credential of the services named here; all others ignore cookies.

A browser sends a cookie by itself, also for a request that another page caused. So it counts only for requests of the service's own page:
Origin and Sec-Fetch-Site must say so, and a change needs a header that no other page can set. A cookie that does not count is refused,
never ignored: in open mode an ignored one would make its user `local`.
"""

import re
from typing import Final

from starlette.types import Scope

from apps.http.credentials import APCA_ID, APCA_SECRET, AUTHORIZATION, CREDENTIAL_MAX, SIGNING, TOKEN_PREFIX, BadCredentials
from apps.http.problem import Refusal

SERVICES: Final = frozenset({"desk"})
"""The services at which the cookie counts."""
COOKIE: Final = "trade_session"
DESK_HEADER: Final = b"x-trade-desk"
"""Sent by the page with every change, with any value. A page of another origin would have to ask for it first, and is not permitted."""

_NAME: Final = COOKIE.encode()
_TOKEN: Final = re.compile(rb"%b[A-Za-z0-9_-]{1,%d}" % (TOKEN_PREFIX.encode(), CREDENTIAL_MAX // 2))
_OTHERS: Final = frozenset((APCA_ID, APCA_SECRET, AUTHORIZATION, *SIGNING))
_READS: Final = ("GET", "HEAD")
_OWN_SITE: Final = (None, b"same-origin", b"none")


def with_bearer(scope: Scope) -> Scope:
    """Return the request with its cookie replaced by the token as a bearer, the form that handlers and services know.

    Credentials in a header are the caller's own choice and win over a cookie. BadCredentials; Refusal 403.
    """
    headers = {name for name, _ in scope["headers"]}
    if b"cookie" not in headers:
        return scope
    token = None if headers & _OTHERS else token_of(scope)
    kept = [each for each in scope["headers"] if each[0] != b"cookie"]
    return {**scope, "headers": kept if token is None else [*kept, (AUTHORIZATION, b"Bearer " + token.encode())]}


def token_of(scope: Scope) -> str | None:
    """Return the token in the cookie of a request; None without one. BadCredentials if it is not readable; Refusal 403."""
    values = {value for value in _values(scope) if value}
    if not values:
        return None
    if not _of_own_page(scope):
        raise Refusal(
            403,
            "origin_refused",
            "the cookie counts only for the page of this address; a change needs its Origin and the header X-Trade-Desk",
        )
    token, *others = values
    if others or not _TOKEN.fullmatch(token):
        raise BadCredentials("a cookie that is not readable, or two")
    return token.decode("ascii")


def _values(scope: Scope) -> list[bytes]:
    """Return the values of the cookie. A proxy may have split the header."""
    pairs = [pair.strip().partition(b"=") for name, value in scope["headers"] if name == b"cookie" for pair in value.split(b";")]
    return [value for name, _, value in pairs if name == _NAME]


def _of_own_page(scope: Scope) -> bool:
    """Return whether the request is of the service's own page. A listed origin is another page, and is not enough."""
    found = dict(scope["headers"])
    host, origin = found.get(b"host", b"").lower(), found.get(b"origin")
    own = origin is not None and origin.lower() in (b"http://" + host, b"https://" + host)
    if scope["method"] in _READS:
        return (own or origin is None) and found.get(b"sec-fetch-site") in _OWN_SITE
    return own and DESK_HEADER in found
