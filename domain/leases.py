"""The lease store's keys and values. A lease says who should own a shard. It may be wrong: the journal decides who does."""

import re
from typing import Final

import msgspec

CLUSTER: Final = "cluster"
UNIT: Final = "unit"
SHARD: Final = "shard"
VENUE: Final = "venue"

SHARDS_MAX: Final = 64
KEY: Final = re.compile(rf"{CLUSTER}|{SHARD}\.\d{{1,2}}|({UNIT}|{VENUE})\.[A-Za-z0-9_-]{{1,64}}", re.ASCII)


class OtherShards(Exception):
    """The cluster was created with another number of shards. Accounts would move between shards, so the unit must not start."""


class Cluster(msgspec.Struct, frozen=True):
    """Written once, when the cluster is created: the number of shards, the version of commits that units write, and when (ns UTC)."""

    shards: int
    writes: int
    born: int


class UnitAlive(msgspec.Struct, frozen=True):
    """A unit's heartbeat: its program's version, the newest version of commits that it reads, and the address of its door.

    `shards` are those that it may take: it follows them to their end, and did not lose them a short time ago.
    """

    version: str
    reads: int
    shards: tuple[int, ...] = ()
    door: str = ""


class Lease(msgspec.Struct, frozen=True):
    """Who should own a shard or a venue. Epoch 0: the unit has not taken it in the journal yet."""

    unit: str
    epoch: int = 0


LeaseValue = Cluster | UnitAlive | Lease

KINDS: Final[dict[str, type[LeaseValue]]] = {CLUSTER: Cluster, UNIT: UnitAlive, SHARD: Lease, VENUE: Lease}
"""The type of the values by the first token of their key."""


class LeaseEntry(msgspec.Struct, frozen=True):
    """A key as the store has it. Value None: it was given back. Revision 0: it was never written, or it has expired."""

    key: str
    revision: int
    value: LeaseValue | None


def shard_key(shard: int) -> str:
    return f"{SHARD}.{shard}"


def unit_key(unit: str) -> str:
    return f"{UNIT}.{unit}"


def venue_key(venue: str) -> str:
    return f"{VENUE}.{venue}"


def name_in(key: str) -> tuple[str, str]:
    """Return the kind of a key, and the name behind it: `shard.3` is ("shard", "3"), `cluster` is ("cluster", "")."""
    kind, _, name = key.partition(".")
    return kind, name


def agreed(mine: Cluster, found: Cluster) -> Cluster:
    """Return the cluster that exists. Raises OtherShards, which names both numbers."""
    if found.shards != mine.shards:
        raise OtherShards(f"this unit is configured for {mine.shards} shards and the cluster was created with {found.shards}")
    return found
