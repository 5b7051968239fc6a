"""The address a request comes from, also behind proxies."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HOPS_MAX: Final = 16
"""Entries of X-Forwarded-For that are read, from the last one. A longer chain of own proxies is not expected."""
UNKNOWN: Final = ""
REMEMBERED_MAX: Final = 1024
REMEMBERED_BYTES_MAX: Final = 256
"""Headers whose client is remembered, and the longest of them: to parse one takes 13 us, which is more than the whole check of a key."""


def client_address(scope: Scope, proxies: tuple[Network, ...]) -> str:
    """Return the address of the client, in its shortest form; empty if the transport names none.

    This is the peer of the connection. If the peer is one of `proxies`, it is the last entry of X-Forwarded-For that is none of them:
    each proxy appends the peer it saw, so everything before that entry is the client's own claim. An entry that is no address ends the
    search, and the proxy that wrote it counts as the client.
    """
    peer = scope.get("client")
    if peer is None:
        return UNKNOWN
    host: str = peer[0]
    if not proxies and not host.startswith("::"):
        return host
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    forwarded = values[0] if len(values) == 1 else b",".join(values)
    return (_remembered if len(forwarded) <= REMEMBERED_BYTES_MAX else _client)(host, forwarded, proxies)


def _client(host: str, forwarded: bytes, proxies: tuple[Network, ...]) -> str:
    found = _address(host)
    if found is None:
        return host
    if forwarded and _is_among(found, proxies):
        for entry in _entries(forwarded.decode("latin-1")):
            address = _entry(entry)
            if address is None:
                break
            found = address
            if not _is_among(found, proxies):
                break
    return str(found)


_remembered: Final = lru_cache(REMEMBERED_MAX)(_client)


def is_among(host: str, networks: Sequence[Network]) -> bool:
    """Return whether an address, as `client_address` returns it, is loopback or in one of the networks."""
    address = _address(host)
    return address is not None and (address.is_loopback or _is_among(address, networks))


def _entries(forwarded: str) -> list[str]:
    """Return the entries, last first. Several headers are one list (RFC 9110, 5.3)."""
    return [entry.strip() for entry in forwarded.rsplit(",", HOPS_MAX)[::-1][:HOPS_MAX]]


def _entry(text: str) -> Address | None:
    """Return the address of an entry, which may carry a port: `192.0.2.1:443`, `[2001:db8::1]:443`."""
    if text.startswith("["):
        text, bracket, rest = text[1:].partition("]")
        return _address(text) if bracket and (not rest or _is_port(rest)) else None
    name, colon, port = text.partition(":")
    return _address(name) if colon and port.isdecimal() and "." in name else _address(text)


def _is_port(text: str) -> bool:
    return text.startswith(":") and text[1:].isdecimal()


def _address(text: str) -> Address | None:
    """Return the address; one of IPv4 written as IPv6 (`::ffff:192.0.2.1`) is IPv4, so that it matches the same networks."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
