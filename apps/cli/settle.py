"""`trade order settle`: manual resolution of an order in doubt."""

import shlex
from collections.abc import Mapping
from typing import Annotated

import typer

from apps.cli import show
from apps.cli.addresses import find
from apps.cli.client import Oms, signature
from apps.cli.options import DataDir, Json, OrderId, PortOffset, identifier
from domain.order.commands import Outcome

SHOWN = ("order_id", "client_order_id", "status", "reason", "source", "cum_quantity", "leaves_quantity", "average_price")


def settle(
    order_id: OrderId,
    outcome: Annotated[Outcome, typer.Option(help="The outcome as confirmed by the venue.")],
    reason: Annotated[str, typer.Option(help="How it is known. Journaled, with `who`.")],
    who: Annotated[str | None, typer.Option(help="The person responsible. By default the current user, with a key its owner.")] = None,
    route_id: Annotated[str | None, typer.Option(metavar="ROUTE_ID", help="The route, if several are in doubt.")] = None,
    venue_order_id: Annotated[str | None, typer.Option(help="With working: the venue's order id.")] = None,
    quantity: Annotated[str | None, typer.Option(metavar="NUMBER", help="With filled: the traded quantity.")] = None,
    price: Annotated[str | None, typer.Option(metavar="NUMBER", help="With filled: the trade price.")] = None,
    fee: Annotated[str | None, typer.Option(metavar="NUMBER", help="With filled: the fee.")] = None,
    exec_id: Annotated[str | None, typer.Option(help="With filled: the venue's trade id; it prevents double booking.")] = None,
    token: Annotated[str | None, typer.Option(help="The token of the same settlement, requested by another person: confirm it.")] = None,
    json: Json = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Settle an order in doubt: trade order settle ORDER_ID --outcome never_arrived --reason "the venue's desk has no such order"

    Use it only for orders in doubt, after checking with the venue by other means. Exit code 1 if the order is not in doubt.
    Where oms asks for a second person (`order_management.settle_second_person`), another person repeats the command with --token.
    """
    given = {
        "outcome": str(outcome),
        "reason": reason,
        "route_id": route_id,
        "venue_order_id": venue_order_id,
        "quantity": quantity,
        "price": price,
        "fee": fee,
        "exec_id": exec_id,
    }
    addresses = find(data_dir, port_offset)
    named, signed = {name: value for name, value in given.items() if value is not None}, signature(addresses, "oms", who)
    body = named | signed | ({} if token is None else {"token": token})
    with Oms(addresses, raw=json) as oms:
        answer = oms.post(f"/orders/{identifier(order_id, 'an order id')}/settle", body)
    if json:
        return
    reply = answer.object()
    if answer.status == 202:
        show.line(f"Requested: {outcome}. Nothing is settled yet; a second person must confirm before {reply.get('expires_at')}:")
        show.line(_second_step(order_id, named, str(reply.get("token"))) + " --who ..." * bool(signed))
        return
    show.card((name, value) for name, value in reply.items() if name in SHOWN)


def _second_step(order_id: str, named: Mapping[str, str], token: str) -> str:
    """Return the command line with which another person confirms the settlement."""
    options = [word for name, value in named.items() if name != "reason" for word in (f"--{name.replace('_', '-')}", value)]
    return shlex.join(["trade", "order", "settle", order_id, *options, "--token", token]) + " --reason ..."
