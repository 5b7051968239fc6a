"""`trade watch`: live updates of orders and positions from NATS."""

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

ANY: Final = "*"
PENDING_MAX: Final = 65_536
"""Maximum number of updates waiting to be printed; beyond it new updates are dropped, and stderr reports it."""


def watch(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Only this account.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print each message unchanged, one per line.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show live order and position updates until Ctrl-C."""
    whose = identifier(account, "an account") if account else ANY
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(find(data_dir, port_offset)["nats"], whose, json))


async def _watch(url: str, whose: str, json: bool) -> None:
    gone = asyncio.Event()
    async with connected(url, "trade watch", gone.set) as client:
        watched = (subjects.order_copy(whose, ANY), subjects.positions(whose))
        subscriptions = [await client.subscribe(subject, pending_msgs_limit=PENDING_MAX) for subject in watched]
        await bus.flush(client)
        to_stderr(f"Watching {'every account' if whose == ANY else whose}; press Ctrl-C to end.")
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
    """Return one line per message; an unreadable message is shown unchanged."""
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
    """Return the events, after a bar."""
    several = events if isinstance(events, list) else [events]
    texts = [_event(each) if isinstance(each, dict) else str(each) for each in several if each]
    return ["| " + "; ".join(texts)] if texts else []


def _event(event: Mapping[str, Any]) -> str:
    """Return a short form; `trade order events` shows the checks and the compared venues."""
    short = {name: value for name, value in event.items() if name not in ("checks", "candidates")}
    return f"{event.get('type', '?')} ({story.what(short)})"


def _position_line(update: Mapping[str, Any]) -> str:
    names = {"quantity": "", "average_price": "@ ", "price": "last ", "realised_pnl": "realised ", "seq": "seq "}
    numbers = [f"{word}{show.text(update[name])}" for name, word in names.items() if update.get(name) is not None]
    when = _when(update.get("timestamp") or update.get("at"))
    return " ".join([when, show.text(update.get("account")), "position", show.text(update.get("symbol")), *numbers])


def _when(value: object) -> str:
    return show.clock(value)
