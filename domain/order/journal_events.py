"""Events about the journal itself. They belong to no order, and every fold of orders ignores them."""

import msgspec

from domain.order.event import Event
from domain.order.lifecycle import State


class Foreign(msgspec.Struct, frozen=True, gc=False):
    """A message in a journal's stream that is no commit: no writer of this system made it, so nothing in it was ever acknowledged."""

    seq: int
    sha256: str


class JournalAccepted(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator accepted that the journal continues from a sequence, although another one had been acknowledged.

    `skipped` are foreign messages that the operator named; the hash chain continues past them. The event belongs to no order:
    `order_id` and `status` have no meaning, and every fold ignores it.
    """

    order_id: str = ""
    status: State = State.NEW
    who: str
    reason: str
    goes_on_from: int
    acknowledged_to: int
    skipped: tuple[Foreign, ...] = ()


class ShardTaken(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A process took over the sending for this shard, or, with a `lease`, a unit took the whole shard from another unit.

    Its epoch is the number of this commit; `before` is the epoch that it ends. `sender` names the process, so that it recognises its own
    event. `met` is the largest epoch that a venue had seen: after a loss was accepted, commits are numbered from a lower number again, and
    the epoch is then one above `met`. `lease` is the revision of the lease with which the unit took the shard.
    It belongs to no order: `order_id` and `status` have no meaning.
    """

    order_id: str = ""
    status: State = State.NEW
    unit: str
    sender: str
    before: int = 0
    met: int = 0
    lease: int = 0


class ShardReleased(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """A unit gave up the shard: everything that it had in flight is settled, and it writes no commit behind this one.

    `to` is the unit that takes it next; empty if none is named. It belongs to no order: `order_id` and `status` have no meaning.
    """

    order_id: str = ""
    status: State = State.NEW
    unit: str
    to: str = ""


class ShardHeld(Event, frozen=True, kw_only=True, tag=True, gc=False):
    """Proof that the writer of this shard could still write, so its state was current. Appended on a cluster when a read needs that proof,
    and once a second by an owner whose lease cannot be renewed.

    It belongs to no order: `order_id` and `status` have no meaning.
    """

    order_id: str = ""
    status: State = State.NEW
    unit: str
