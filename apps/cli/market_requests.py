"""`trade market subscribe, unsubscribe, backfill`: requests of people to the gateway's sessions with venues."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from adapters import bus, subjects
from adapters.codec import encode
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import Oms
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset, identifier
from apps.cli.trouble import Refused, Trouble, Unreachable, WrongUsage
from apps.stack.servers import MARKET_NATS
from domain.ports import Unavailable
from domain.values import from_rfc3339, rfc3339

GATEWAY: Final = "gateway"
START_MARKET: Final = "Start one with a market: trade up --market config"
ANSWER_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.5
RUNNING: Final = "running"
DONE: Final = "done"
REMEDIES: Final = {
    "venue_not_found": "The venues are in config/backend/gateway/config.yaml.",
    "symbol_unknown": "See what the venue is asked for: trade status, and GET /venues of gateway.",
    "busy": "Ask again when it has ended.",
    "not_connected": "Ask again when the venue is live: GET /venues of gateway.",
    "range_invalid": "Ask for one day at a time.",
}

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", help="A symbol of config/instruments.yaml.")]
Venue = Annotated[str, typer.Option(metavar="VENUE", help="A venue of the gateway's configuration.")]
Time = "2026-11-27T12:00:00Z"


class _Reply(msgspec.Struct):
    ok: bool
    code: str = ""
    detail: str = ""


def subscribe(symbol: Symbol, venue: Venue, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Ask a venue for one symbol more, until the gateway starts again: then its configuration counts."""
    show.line(f"{venue} {symbol}: {_asked(_market(data_dir, port_offset), venue, do='subscribe', symbol=symbol)}")


def unsubscribe(symbol: Symbol, venue: Venue, data_dir: DataDir = None, port_offset: PortOffset = None) -> None:
    """Ask a venue for one symbol less, until the gateway starts again. Its book and its marks end at once."""
    show.line(f"{venue} {symbol}: {_asked(_market(data_dir, port_offset), venue, do='unsubscribe', symbol=symbol)}")


def backfill(
    symbol: Symbol,
    venue: Venue,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help=f"Trades from this moment on: {Time}.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Trades before this moment; at most 24 hours later.")],
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Fetch trades of the past from a venue. Trades that are stored already stay one row each. Waits until all pages are there."""
    span = {"from": _time(begin), "to": _time(end)}
    addresses = _market(data_dir, port_offset)
    with Oms(addresses, GATEWAY) as api:
        _asked(addresses, venue, do="backfill", symbol=symbol, **span)
        while (shown := _backfill_of(api, venue, symbol, span))["state"] == RUNNING:
            time.sleep(POLL_S)
    found = f"{shown['trades']} trades, pages: {shown['pages']}"
    if shown["state"] != DONE:
        raise Refused(f"The backfill is {shown['state']} after {found}: {shown['detail']}.", "Ask for the rest again.")
    show.line(f"{venue} {symbol}: {found}")


def _market(data_dir: Path | None, port_offset: int | None) -> Addresses:
    addresses = find(data_dir, port_offset)
    if MARKET_NATS not in addresses.urls:
        raise Unreachable("This stack has no market data.", START_MARKET)
    return addresses


def _backfill_of(api: Oms, venue: str, symbol: str, span: Mapping[str, int]) -> dict[str, Any]:
    """Return the state of this backfill. The gateway shows a venue's last one, which may be of missed trades that it fetches by itself."""
    shown = api.get("/venues").object().get(venue, {}).get("backfill")
    if not isinstance(shown, dict):
        raise Trouble("The gateway has started again, which ended the backfill.", "Ask again.")
    asked = {"symbol": symbol, **{name: rfc3339(at) for name, at in span.items()}}
    if not asked.items() <= shown.items():
        raise Trouble("The backfill has ended, and the gateway shows another one already.", "See its fact: GET /facts of normalizer.")
    return shown


def _asked(addresses: Addresses, venue: str, **request: object) -> str:
    """Send a request to the gateway; return what happens. Refused with the gateway's reason."""
    identifier(venue, "the name of a venue")
    try:
        reply = asyncio.run(_reply(addresses[MARKET_NATS], venue, request))
    except Unavailable as error:
        raise Unreachable(f"The gateway does not answer: {str(error).rstrip('.')}.", "See: trade status") from error
    if not reply.ok:
        raise Refused(f"Refused ({reply.code}): {reply.detail}.", REMEDIES.get(reply.code, ""))
    return reply.detail


async def _reply(url: str, venue: str, request: dict[str, object]) -> _Reply:
    async with connected(url, "trade market") as client:
        answer = await bus.request(client, subjects.market("control", venue), encode(request), ANSWER_TIMEOUT_S)
    return msgspec.json.decode(answer, type=_Reply)


def _time(text: str) -> int:
    try:
        return from_rfc3339(text)
    except ValueError as error:
        raise WrongUsage(f"{text!r} is not a time: {error}.", f"Example: {Time}") from None
