"""`trade replay`: rebuild positions from the journal alone and compare them with Valkey."""

import asyncio
import contextlib
from typing import Annotated, Final

import typer

from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import START, to_stderr
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset, identifier
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from apps.tools.rebuild import PositionsComparison, Rebuilt, compare, repair, stored_positions
from domain.ports import Corrupt, Journal, Positions, Unavailable
from domain.position.position import Position
from domain.shards import Shards

DIFFERENCES_SHOWN_MAX: Final = 200
COLUMNS: Final = ("account", "symbol", "quantity", "average_price", "realised_pnl", "fees", "last_price", "seq")

app = typer.Typer(no_args_is_help=True)


@app.callback()
def replay() -> None:
    """Rebuild state from the journal alone."""


@app.command()
def positions(
    account: Annotated[str | None, typer.Option("--account", "-a", help="Compare only this account's positions.")] = None,
    to_seq: Annotated[int | None, typer.Option(min=1, help="Show the positions as they were at this sequence.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Repair Valkey where it differs.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Rebuild positions from the journal and compare them with Valkey, as of Valkey's own sequence.

    Exit code 0 if they are identical (or were repaired), 1 if they differ; the differences are printed as a table.
    """
    if write and (account or to_seq):
        raise WrongUsage("--write repairs all positions, as of now.", "Leave out --account and --to-seq, or --write.")
    if account:
        identifier(account, "an account")
    try:
        asyncio.run(_positions(find(data_dir, port_offset), account, to_seq, write))
    except Corrupt as error:
        raise Refused(
            f"The journal does not verify: {error}.", "Do not continue from it: keep the data directory and restore a copy."
        ) from error
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", f"Repeat the command when it answers. {START}") from error


async def _positions(addresses: Addresses, account: str | None, to_seq: int | None, write: bool) -> None:
    from apps.connections.journals import order_journals  # late: this import loads service code

    async with contextlib.AsyncExitStack() as exits:
        client = await exits.enter_async_context(connected(addresses["nats"], "trade replay"))
        opened = await order_journals(client)
        shards = Shards(len(opened))
        if to_seq is not None:
            if shards.count > 1 and account is None:
                raise WrongUsage("A sequence is of one shard, and the journal has several.", "Name an account of the shard: --account.")
            await _as_it_was(opened[shards.of(account or "")], to_seq, account)
            return
        for shard, journal in enumerate(opened):
            if account is None or shards.of(account) == shard:
                valkey = await exits.enter_async_context(stored_positions(addresses["valkey"], shards, shard))
                if shards.count > 1:
                    show.line(f"shard {shard}:")
                await _compare(journal, valkey, account, write)


async def _as_it_was(journal: Journal, seq: int, account: str | None) -> None:
    end = (await journal.head()).seq
    if seq > end:
        raise Refused(f"The journal ends at sequence {end}.", f"Use --to-seq {end} or less.")
    rebuilt = await _rebuild(journal, seq)
    wanted = [p for p in rebuilt.book.positions.values() if account in (None, p.account)]
    show.table("", COLUMNS, (_row(p) for p in sorted(wanted, key=lambda p: (p.account, p.symbol))), numbers=COLUMNS[2:])
    to_stderr(f"{_count(rebuilt)} rebuilt as of sequence {rebuilt.head.seq}; Valkey was not read.")


def _row(position: Position) -> tuple[object, ...]:
    return tuple(getattr(position, name) for name in COLUMNS)


async def _compare(journal: Journal, valkey: Positions, account: str | None, write: bool) -> None:
    checkpoint, end = await valkey.checkpoint(), (await journal.head()).seq
    rebuilt = await _rebuild(journal, min(checkpoint, end) or end)
    if checkpoint > end:
        found = PositionsComparison([], 0, checkpoint)
        trouble = f"Valkey is at sequence {checkpoint}, but the journal ends at {end}: it belongs to another journal"
    else:
        found = await compare(rebuilt, valkey, account)
        where = "empty" if not checkpoint else f"different as of sequence {found.seq}"
        trouble = f"{_count(rebuilt)} rebuilt; Valkey is {where}: values that differ: {len(found.differences)}" if found.differences else ""
    if not trouble:
        _print_identical(rebuilt, found, account, end)
        return
    _print_differences(found)
    if not write:
        raise Refused(f"{trouble}.", "Repair Valkey from the journal: trade replay positions --write")
    show.line(f"{trouble}; repairing it")
    await _repair(journal, valkey, end)


async def _repair(journal: Journal, valkey: Positions, end: int) -> None:
    """Write, then compare again, so that success is reported only after it was verified."""
    with progress_of(end) as progress:
        rebuilt = Rebuilt(journal, progress)
        await repair(rebuilt, journal, valkey)
    found = await compare(rebuilt, valkey)
    if found.differences:
        _print_differences(found)
        raise Refused("Valkey still differs.", "Another program writes to it: stop it, then repeat the command.")
    _print_identical(rebuilt, found, None, end)


def _print_identical(rebuilt: Rebuilt, found: PositionsComparison, account: str | None, end: int) -> None:
    whose = f" for {account}" if account else ""
    show.line(f"{_count(rebuilt)} rebuilt; identical to Valkey{whose} as of sequence {found.seq}")
    if found.expired:
        show.line(f"{found.expired} flat positions are not in Valkey any more (position_ttl_sec); they read as flat")
    if end > found.seq:
        show.line(f"the journal has reached sequence {end}: the projector is {end - found.seq} behind")


def _print_differences(found: PositionsComparison) -> None:
    if not found.differences:
        return
    shown = found.differences[:DIFFERENCES_SHOWN_MAX]
    rows = ((d.account, d.symbol, d.field, d.journal, d.stored) for d in shown)
    show.table("", ("account", "symbol", "field", "journal", "valkey"), rows, numbers=("journal", "valkey"))
    if len(found.differences) > len(shown):
        show.line(f"and {len(found.differences) - len(shown)} more")


def _count(rebuilt: Rebuilt) -> str:
    counts = {"commit": rebuilt.head.n, "event": rebuilt.events, "position": len(rebuilt.book.positions)}
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


async def _rebuild(journal: Journal, until: int) -> Rebuilt:
    with progress_of(until) as progress:
        rebuilt = Rebuilt(journal, progress)
        await rebuilt.advance(until)
    return rebuilt
