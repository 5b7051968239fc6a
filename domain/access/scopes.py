"""Scopes: what a key may do. A route needs one scope; a key has a mask of them."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class AccessScope(StrEnum):
    """What a key may do. `trade` contains `cancel`."""

    READ = "read"
    CANCEL = "cancel"
    TRADE = "trade"
    RISK = "risk"
    OPS = "ops"
    AUDIT = "audit"
    ADMIN = "admin"


BITS: Final = {scope: 1 << place for place, scope in enumerate(AccessScope)}
IMPLIED: Final = {AccessScope.TRADE: (AccessScope.CANCEL,)}
APART: Final = ((AccessScope.ADMIN, AccessScope.TRADE), (AccessScope.ADMIN, AccessScope.CANCEL))
"""Scopes that no key has together: who makes keys does not trade with them."""
OF_ALL_ACCOUNTS: Final = frozenset({AccessScope.RISK, AccessScope.OPS, AccessScope.AUDIT, AccessScope.ADMIN})
"""Scopes that a key of every account (`*`) may have."""
EVERY_ACCOUNT: Final = "*"

LOCAL: Final = "local"
"""In place of a key id: a program of this machine, without a key, in open mode."""


def bits(*scopes: AccessScope) -> int:
    """Return the bits of exactly these scopes."""
    return sum(BITS[scope] for scope in frozenset(scopes))


def mask_of(scopes: Iterable[AccessScope]) -> int:
    """Return the mask of these scopes, with those that they contain."""
    mask = 0
    for scope in scopes:
        mask |= BITS[scope]
        for contained in IMPLIED.get(scope, ()):
            mask |= BITS[contained]
    return mask


def scopes_of(mask: int) -> tuple[AccessScope, ...]:
    """Return the scopes in a mask, in their order."""
    return tuple(scope for scope, bit in BITS.items() if mask & bit)


def against(scopes: Iterable[AccessScope], account: str) -> str | None:
    """Return why no key may have these scopes for this account; None if one may."""
    wanted = frozenset(scopes)
    if not wanted:
        return "a key needs at least one scope"
    for one, other in APART:
        if one in wanted and other in wanted:
            return f"{one} and {other} are never in one key"
    if account == EVERY_ACCOUNT and (own := sorted(wanted - OF_ALL_ACCOUNTS)):
        return f"{', '.join(own)} is for one account, not for {EVERY_ACCOUNT}"
    return None
