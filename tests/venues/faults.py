"""The faults of a simulated venue, by switch: MARKETDATA section 4. A test may change them at any time."""

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Counters end by themselves; flags hold until they are taken back."""

    only: str = ""
    """Messages that counters concern: `book`, `trade`, or all."""
    drop_next: int = 0
    """Hole in sequence: this many data messages do not leave."""
    duplicate_next: int = 0
    """Duplicate frame: this many data messages leave twice."""
    swap_next: int = 0
    """Out of order: this many data messages leave after the one that follows."""
    bad_checksum_next: int = 0
    """Checksum mismatch, where the venue has one."""
    malformed_next: int = 0
    """Malformed frame: this many data messages are cut in the middle."""
    unknown_next: int = 0
    """New message type: one of a type that is not in the manual, in front of this many data messages."""
    new_field: bool = False
    """New field: every object of data has one that is not in the manual."""
    mute: bool = False
    """Open but mute: heartbeats continue, data does not."""
    silent: bool = False
    """Nothing at all leaves; the transport still answers pings."""
    ahead_ns: int = 0
    """Venue clock ahead (or behind, below zero)."""
    old_snapshots: int = 0
    """Snapshot older than the kept updates: of this many snapshots over REST."""
    rest_status: list[tuple[int, int]] = field(default_factory=list)
    """429 or ban: status and Retry-After in seconds of the next replies over REST."""
    rest_hangs: bool = False
    """No reply over REST."""
    refuse: bool = False
    """New connections are refused with 503."""
    delisted: set[str] = field(default_factory=set)
    """Listing gone: these symbols are in no list, and refused."""
    not_trading: set[str] = field(default_factory=set)
    """Halt: the venue's list says that these do not trade."""
    ticks: dict[str, str] = field(default_factory=dict)
    """Precision changed: the step of prices that the venue's list has for a symbol."""
    burst: int = 1
    """Burst of ten times: this many steps in place of one."""
