"""Ask another service for a caller, with the caller's own credentials: that service judges the key again."""

import contextlib
import ipaddress
from collections.abc import Iterable
from typing import Final

from domain.access.keys import KeyRing

PASSED_ON: Final = ("authorization", "apca-api-key-id", "apca-api-secret-key")
"""Headers with which a caller shows who it is. A signature is for one address alone: callers that sign ask that service themselves."""


def credentials_in(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a request that another service can verify too; none if it was signed or needed no key."""
    return {name.decode(): value.decode("latin-1") for name, value in headers if name.decode("latin-1") in PASSED_ON}


def good_from_here(keys: KeyRing, key_id: str, host: str) -> bool:
    """Return whether the service at `host` accepts the key from this one. On one machine both have the same address; else it is unknown."""
    key = keys.by_id.get(key_id)
    if key is None or not key.networks:
        return True
    with contextlib.suppress(ValueError):
        here = ipaddress.ip_address(host)
        return here.is_loopback and any(here in ipaddress.ip_network(network) for network in key.networks)
    return False
