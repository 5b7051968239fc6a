"""The common fields of events. Each event carries the state that it led to, so that a reader needs no state machine to follow."""

import msgspec

from domain.order.lifecycle import State


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """The common fields: the order, when it was decided (nanoseconds UTC), and the order's state after the event."""

    order_id: str
    at: int
    status: State


class Requested(Event, frozen=True, kw_only=True, gc=False):
    """An event that can follow from a client's request at once.

    `by` is the id of the key that asked, or `local` for a program that needs none. It is empty if no client asked (a service, a venue, a
    kill switch), and in journals from before the field. It says who asked and decides nothing, so no order keeps it.
    """

    by: str = ""
