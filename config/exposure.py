"""How far a service's ports may be open: the access mode it runs in, and what it refuses to start with."""

import ipaddress

from config.access_mode import KEYS, OPEN, Mode
from config.catalogue import live_venues
from config.sections import PROXIED
from config.settings import Settings
from config.text import ConfigError


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a listener on `host`. Any name other than localhost counts as an outside address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def access_mode(settings: Settings) -> Mode:
    """Return the mode of the service: what `access.mode` says, else `open` if only this machine can ask and all venues are paper.

    ConfigError for an explicit `open` that would be open to more than that, and for a venues.yaml that cannot be read.
    """
    named = settings.access.mode
    if named == KEYS:
        return KEYS
    reason = _not_open(settings)
    if reason is None:
        return OPEN
    if named == OPEN:
        raise ConfigError(f"{settings.service.name}: access.mode: open is refused: {reason}")
    return KEYS


def _not_open(settings: Settings) -> str | None:
    """Return why the ports need keys, with the remedy; None if they may be open."""
    host, access = settings.service.host, settings.access
    if not is_loopback(host):
        return f"service.host is {host}, which other machines reach; set keys (TRADE_ACCESS=keys), or listen on 127.0.0.1"
    if access.tls == PROXIED or access.proxies:
        key = "access.tls is proxied" if access.tls == PROXIED else "access.proxies is set"
        return f"{key}, so a proxy lets other machines in; set keys (TRADE_ACCESS=keys)"
    if live := live_venues():
        return (
            f"the venue {live[0]} is live; set keys (TRADE_ACCESS=keys), or, if its trades are not real, live: false for it in venues.yaml"
        )
    return None


def refuse_plain_http(settings: Settings) -> None:
    """Raise ConfigError if the ports would speak plain HTTP beyond this machine and no proxy in front is named."""
    host = settings.service.host
    if settings.access.tls is None and not is_loopback(host):
        raise ConfigError(
            f"{settings.service.name}: access.tls: is needed, because service.host is {host} and plain HTTP can be read and changed "
            "on its way; name a certificate (access.tls: {cert: FILE, key: FILE}), or say that a proxy or a closed network in front "
            "protects the ports (access.tls: proxied, TRADE_TLS=proxied)"
        )
