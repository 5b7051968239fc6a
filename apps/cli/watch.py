"""`trade watch`: orders and positions as they change, from the bus."""

import asyncio
import contextlib
import json as jsonlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import typer
from nats.aio.subscription import Subscription

from adapters import bus, subjects
from apps.cli import show, story
from apps.cli.addresses import find
from apps.cli.client import START, to_stderr
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset, identifier
from apps.cli.trouble import Unreachable

ANYBODY: Final = "*"
PENDING_MAX: Final = 65_536
"""Updates waiting to be printed; beyond it the oldest are lost, and stderr says so."""


def watch(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A message a line, as it came.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Live order and position updates, until Ctrl-C."""
    whose = identifier(account, "an account") if account else ANYBODY
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(find(data_dir, port_offset)["nats"], whose, json))


async def _watch(url: str, whose: str, json: bool) -> None:
    gone = asyncio.Event()
    async with connected(url, "trade watch", gone.set) as client:
        watched = (subjects.order_copy(whose, ANYBODY), subjects.positions(whose))
        subscriptions = [await client.subscribe(subject, pending_msgs_limit=PENDING_MAX) for subject in watched]
        await bus.flush(client)
        to_stderr(f"Watching {'every account' if whose == ANYBODY else whose}; Ctrl-C ends it.")
        await asyncio.gather(_until(gone), *(_print(subscription, json) for subscription in subscriptions))


async def _until(gone: asyncio.Event) -> None:
    await gone.wait()
    raise Unreachable("The connection to NATS was closed.", START)


async def _print(subscription: Subscription, json: bool) -> None:
    async for message in subscription.messages:
        if json:
            show.raw(message.data)
        else:
            show.line(told(message.subject, message.data))


def told(subject: str, payload: bytes) -> str:
    """One line for one message; a message that cannot be read is shown as it is."""
    try:
        update = jsonlib.loads(payload, parse_float=Decimal)
    except ValueError:
        update = None
    if not isinstance(update, dict):
        return f"{subject} {payload.decode(errors='replace')}"
    return _order_line(update) if subject.startswith(subjects.ORDER_COPIES.removesuffix(">")) else _position_line(update)


def _order_line(update: Mapping[str, Any]) -> str:
    account, order_id, symbol, status, seq = (show.text(update.get(n)) for n in ("account", "order_id", "symbol", "status", "seq"))
    words = [_when(update.get("at")), account, f"order {order_id}", symbol, f"{status},", *_quantities(update), f"seq {seq}"]
    return " ".join([*words, *_events(update.get("events") or update.get("event"))])


def _quantities(update: Mapping[str, Any]) -> list[str]:
    cum, leaves = update.get("cum_quantity"), update.get("leaves_quantity")
    words = [f"filled {show.text(cum)}"] if cum is not None else []
    if update.get("average_price") is not None:
        words[-1:] = [*words[-1:], f"@ {show.text(update['average_price'])}"]
    return words + ([f"leaves {show.text(leaves)}"] if leaves is not None else [])


def _events(events: object) -> list[str]:
    """What happened, behind a bar."""
    several = events if isinstance(events, list) else [events]
    told = [_event(each) if isinstance(each, dict) else str(each) for each in several if each]
    return ["| " + "; ".join(told)] if told else []


def _event(event: Mapping[str, Any]) -> str:
    """In short: what was checked and compared is in `trade order events`."""
    short = {name: value for name, value in event.items() if name not in ("checks", "candidates")}
    return f"{event.get('type', '?')} ({story.what(short)})"


def _position_line(update: Mapping[str, Any]) -> str:
    names = {"quantity": "", "average_price": "@ ", "price": "last ", "realised_pnl": "realised ", "seq": "seq "}
    numbers = [f"{word}{show.text(update[name])}" for name, word in names.items() if update.get(name) is not None]
    when = _when(update.get("timestamp") or update.get("at"))
    return " ".join([when, show.text(update.get("account")), "position", show.text(update.get("symbol")), *numbers])


def _when(value: object) -> str:
    return show.clock(value)
