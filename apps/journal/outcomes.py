"""What a host answers: events that have landed, or why nothing was recorded."""

from collections.abc import Callable

import msgspec

from apps.journal.list_reactions import Landed as Landed
from domain.execution.owner import Owner
from domain.order.order import Order
from domain.ports import Unavailable


class CommandRefused(msgspec.Struct, frozen=True):
    """A refusal of TakeShard: `owner` has the shard, under another epoch than the request expected."""

    owner: Owner


class IdTaken(msgspec.Struct, frozen=True):
    """A list was not recorded: an order with the id of one of its legs exists."""

    order: Order


Taken = Callable[[Landed | CommandRefused | Unavailable], None]
Then = Callable[[Landed | Unavailable], None]
"""Called once, after the ack or when the outcome is lost."""
