"""`trade watch`: live events of orders and positions from desk's stream, which proves that nothing is missing."""

import asyncio
import contextlib
import json as jsonlib
from collections.abc import Mapping
from typing import Annotated, Any, Final

import httpx
import typer

from apps.cli import show, story
from apps.cli.addresses import Addresses, find
from apps.cli.client import START, Reply, refused_by, to_stderr
from apps.cli.options import DataDir, PortOffset, identifier
from apps.cli.trouble import Refused, Unreachable
from apps.cli.trust import verification
from apps.desk.client import ClientState, Gap, StreamMessage, follow
from apps.desk.kinds import EVENTS, KINDS, POSITIONS
from apps.http.tls import needed_for

KINDS_DEFAULT: Final = f"{EVENTS},{POSITIONS}"
PATH: Final = "/stream"


def watch(
    account: Annotated[list[str] | None, typer.Option("--account", "-a", help="Only this account; may be repeated.")] = None,
    kinds: Annotated[str, typer.Option("--kinds", metavar="KIND,...", help=f"What to show: {', '.join(KINDS)}.")] = KINDS_DEFAULT,
    from_seq: Annotated[
        int | None, typer.Option("--from-seq", min=0, metavar="N", help="Begin after this sequence of the journal, not now.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print each message as one line: event, id, data.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show order and position updates until Ctrl-C. After a lost connection it continues where it was; a gap ends it with 1."""
    query: dict[str, Any] = {"kinds": kinds, "limit": 0}
    if account:
        query["account"] = [identifier(name, "an account") for name in account]
    if from_seq is not None:
        query["from_seq"] = from_seq
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(find(data_dir, port_offset), query, json))


async def _watch(addresses: Addresses, query: Mapping[str, Any], json: bool) -> None:
    url, key = addresses["desk"], addresses.key_for("desk", PATH)
    async with httpx.AsyncClient(trust_env=False, verify=needed_for(url, verification()), auth=key) as http:
        try:
            async for message in follow(http, f"{url}{PATH}", query, ClientState(), _interrupted):
                _show(message, json)
        except httpx.TransportError as error:
            raise Unreachable(f"desk at {url} cannot be reached ({str(error) or type(error).__name__}).", START) from error
        except httpx.HTTPStatusError as error:
            answer = error.response
            raise refused_by(Reply(answer.status_code, answer.content, answer.headers, key is not None)) from error
        except Gap as gap:
            raise Refused(f"The stream has a gap: {gap}.", "See what is true now: trade order list; then watch again.") from gap


def _interrupted(reason: str, state: ClientState) -> None:
    to_stderr(f"There is no stream now: {reason}. It will continue after sequence {state.seq}.")


def _show(message: StreamMessage, json: bool) -> None:
    data = message.data
    if message.event == "hello":
        whose = "every account" if data["accounts"] == ["*"] else ", ".join(data["accounts"])
        to_stderr(f"Watching {whose} from sequence {data['seq']}; press Ctrl-C to end.")
    if json:
        show.raw(f'{{"event":{jsonlib.dumps(message.event)},"id":{jsonlib.dumps(message.id)},"data":{message.text}}}'.encode())
        return
    for line in lines(message):
        show.line(line)


def lines(message: StreamMessage) -> list[str]:
    """Return one line for each event, order and position of a message; of a snapshot none, because it is not new."""
    if message.event != "frame":
        return []
    data = message.data
    found = [_event_line(event) for event in data.get("events", ())]
    found += [_order_line(row) for row in data.get("orders", ())]
    found += [_position_line(row, data.get("at")) for row in data.get("positions", ())]
    if controls := data.get("controls"):
        found.append(
            f"{show.clock(data.get('at'))} controls version {controls['version']}: killed {', '.join(controls['killed']) or 'nothing'}"
        )
    return found


def _event_line(event: Mapping[str, Any]) -> str:
    account, order_id, status, seq = (show.text(event.get(name)) for name in ("account", "order_id", "status", "seq"))
    of = f"{account} order {order_id} {status}" if "order_id" in event else "journal"
    return f"{show.clock(event.get('at'))} {of} seq {seq} | {event.get('type')}: {story.what(event)}"


def _order_line(row: Mapping[str, Any]) -> str:
    account, order_id, status, seq = (show.text(row.get(name)) for name in ("account", "order_id", "status", "seq"))
    return f"{show.clock(row.get('updated_at'))} {account} order {order_id} {story.terms(row)} {status}, {_quantities(row)} seq {seq}"


def _quantities(row: Mapping[str, Any]) -> str:
    average = f" @ {show.text(row['average_price'])}" if row.get("average_price") is not None else ""
    return f"filled {show.text(row.get('cum_quantity'))}{average} leaves {show.text(row.get('leaves_quantity'))}"


def _position_line(row: Mapping[str, Any], at: object) -> str:
    names = {"quantity": "", "average_price": "@ ", "last_price": "last ", "realised_pnl": "realised ", "seq": "seq "}
    numbers = [f"{word}{show.text(row[name])}" for name, word in names.items() if row.get(name) is not None]
    return " ".join([show.clock(at), show.text(row.get("account")), "position", show.text(row.get("symbol")), *numbers])
