"""What each user of Valkey may do, as the lines of its ACL file."""

import hashlib
from collections.abc import Mapping
from typing import Final

from apps.secrets.users import ADMIN, OPERATOR, READER

_READ: Final = "-@all +@read +@connection +@transaction -@dangerous -@admin"
_WRITE: Final = f"{_READ} +@write -@dangerous"
_PROJECTED: Final = ("position:*", "projection:*")
_PUBLISHED: Final = ("risk:*",)


def _keys(*patterns: str, read_only: bool = False) -> str:
    return " ".join(f"{'%R' if read_only else ''}~{pattern}" for pattern in patterns)


_PROJECTS: Final = f"{_keys(*_PROJECTED)} {_WRITE} -function +fcall +function|load"

RULES: Final[Mapping[str, str]] = {
    "oms": _PROJECTS,  # every minute it looks whether what readers see is what the journal says, and puts it right
    "risk": f"{_keys(*_PUBLISHED)} {_WRITE}",
    "projector": _PROJECTS,
    OPERATOR: f"{_keys(*_PROJECTED)} {_keys(*_PUBLISHED, read_only=True)} {_WRITE} -function +fcall +function|load +info",
    READER: f"{_keys(*_PROJECTED, *_PUBLISHED, read_only=True)} {_READ}",
    ADMIN: "~* &* +@all",
}
_NOBODY: Final = "resetkeys -@all +ping"


def acl(passwords: Mapping[str, str], *, guests: bool) -> str:
    """The file. Without a password one may read what is projected when there are `guests`, else say PING."""
    lines = [f"user {user} reset on #{_sha256(password)} resetchannels {RULES[user]}" for user, password in passwords.items()]
    nobody = RULES[READER] if guests else _NOBODY
    return "\n".join([f"user default reset on nopass resetchannels {nobody}", *lines, ""])


def _sha256(password: str) -> str:
    """The file holds what a password is checked by, not the password; it is random and long, so a plain hash is enough."""
    return hashlib.sha256(password.encode()).hexdigest()
