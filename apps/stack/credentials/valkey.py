"""Rights of each user of Valkey, by command and key, as the lines of its ACL file. Everything not named is denied.

The key patterns apply in every database: the databases of positions (5) and portfolios (4) are configurable.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from apps.stack.credentials.users import ADMIN, OPERATOR, READER

POSITIONS: Final = ("position:*", "projection:*")
PORTFOLIOS: Final = ("risk:*",)

CONNECT: Final = ("ping", "echo", "select", "client|setinfo", "client|setname", "client|getname", "client|id")
READ: Final = (
    *("multi", "exec", "discard", "watch", "unwatch"),  # several reads of one moment
    *("exists", "type", "ttl", "pttl", "scan", "dbsize"),
    *("get", "mget", "strlen"),
    *("hget", "hmget", "hgetall", "hkeys", "hvals", "hlen", "hexists", "hscan"),
    *("smembers", "scard", "sismember", "smismember", "sscan"),
)
STORE: Final = ("fcall", "hset", "persist", "expire", "sadd", "set", "del", "unlink")
"""Commands to call the function that stores positions, those that it calls, and those that remove positions before a rebuild."""
LOAD: Final = ("function|load",)
"""For the projector only: a user that may load a function can replace it."""


@dataclass(frozen=True)
class ValkeyRights:
    """The commands of a user, and the patterns of keys it may read, write, or both."""

    commands: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def rule(self) -> str:
        both = [f"~{key}" for key in self.reads if key in self.writes]
        read = [f"%R~{key}" for key in self.reads if key not in self.writes]
        written = [f"%W~{key}" for key in self.writes if key not in self.reads]
        return " ".join(["resetkeys", *both, *read, *written, "-@all", *(f"+{command}" for command in self.commands)])


RIGHTS: Final[Mapping[str, ValkeyRights]] = {
    # compares stored positions with the journal every minute, and corrects them
    "oms": ValkeyRights((*CONNECT, *READ, *STORE), reads=POSITIONS, writes=POSITIONS),
    "risk": ValkeyRights((*CONNECT, "hset"), writes=PORTFOLIOS),
    # reads what risk publishes, for the samples of equity
    "projector": ValkeyRights((*CONNECT, *READ, *STORE, *LOAD), reads=(*POSITIONS, *PORTFOLIOS), writes=POSITIONS),
    OPERATOR: ValkeyRights((*CONNECT, *READ, *STORE, "info"), reads=(*POSITIONS, *PORTFOLIOS), writes=POSITIONS),
    READER: ValkeyRights((*CONNECT, *READ), reads=(*POSITIONS, *PORTFOLIOS)),
}
GUEST: Final = RIGHTS[READER]
"""Rights without a password, if guests are allowed."""
STRANGER: Final = ValkeyRights(("ping",))
"""Rights without a password, if guests are not allowed: enough for a health check."""
RULES: Final[Mapping[str, str]] = {**{user: rights.rule() for user, rights in RIGHTS.items()}, ADMIN: "~* &* +@all"}


def acl(passwords: Mapping[str, str], *, guests: bool) -> str:
    """Return the ACL file. Without a password, a client may read projections if `guests`, else only send PING."""
    lines = [f"user {user} reset on #{_sha256(password)} resetchannels {RULES[user]}" for user, password in passwords.items()]
    default = GUEST if guests else STRANGER
    return "\n".join([f"user default reset on nopass resetchannels {default.rule()}", *lines, ""])


def _sha256(password: str) -> str:
    """Return the hash for the file, which must not hold the password. Passwords are random and long, so a plain hash is enough."""
    return hashlib.sha256(password.encode()).hexdigest()
