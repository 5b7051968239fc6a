"""Decide what a list records: commands to its lead order, which keep that order's own state."""

from collections.abc import Callable
from typing import Any, Final

from domain.order import commands as c
from domain.order import events as e
from domain.order.order import Order
from domain.order.transition import Events


def _record(order: Order, command: c.RecordList, now: int) -> Events:
    asked = command.list
    if order.group is not None:
        return ()
    return (
        e.ListSubmitted(
            order_id=order.order_id,
            at=now,
            status=order.status,
            by=command.by,
            client_list_id=asked.client_list_id,
            kind=asked.kind,
            trigger=asked.trigger,
            strict=asked.strict,
            reduce=asked.reduce,
            members=command.members,
            rejected=command.rejected,
        ),
    )


def _cancel(order: Order, command: c.CancelList, now: int) -> Events:
    group = order.group
    if group is None or group.ended or (group.cancelling and (group.cancels_exits or not command.exits)):
        return ()
    return (e.ListCancelRequested(order_id=order.order_id, at=now, status=order.status, by=command.by, exits=command.exits),)


def _flag(order: Order, command: c.FlagList, now: int) -> Events:
    if order.group is None or command.flag in order.group.flags:
        return ()
    return (e.ListFlagged(order_id=order.order_id, at=now, status=order.status, flag=command.flag, leg=command.leg, reason=command.reason),)


def _extend(order: Order, command: c.ExtendList, now: int) -> Events:
    if order.group is None or command.member in order.group.members:
        return ()
    return (e.ListExtended(order_id=order.order_id, at=now, status=order.status, member=command.member, instead_of=command.instead_of),)


def _end(order: Order, command: c.EndList, now: int) -> Events:
    if order.group is None or order.group.ended:
        return ()
    return (e.ListEnded(order_id=order.order_id, at=now, status=order.status, reason=command.reason),)


LIST_COMMANDS: Final[dict[type[c.OrderCommand], Callable[[Order, Any, int], Events]]] = {
    c.RecordList: _record,
    c.CancelList: _cancel,
    c.FlagList: _flag,
    c.ExtendList: _extend,
    c.EndList: _end,
}
