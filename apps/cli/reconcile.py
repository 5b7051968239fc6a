"""`trade reconcile`: compare the venues with the journal, list the differences and repair them."""

import asyncio
import itertools
from typing import Annotated, Final

import typer

from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import START
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from config.catalogue import load_instruments, load_venues
from domain.ports import Corrupt, Unavailable

COLUMNS: Final = ("venue", "what", "account", "symbol", "order_id", "about", "ours", "theirs")
SHOWN_MAX: Final = 200


def reconcile(
    venue: Annotated[list[str] | None, typer.Option("--venue", help="Only this venue. Can be given more than once.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the differences.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Compare orders, trades and positions with the venues, list the differences, and repair them.

    Exit code 0 if nothing differs or everything was repaired, 1 if differences remain: an operator must examine them.
    """
    venues = [name for name, found in load_venues(load_instruments().instruments).venues.items() if found.session == "full"]
    if unknown := set(venue or ()) - set(venues):
        raise WrongUsage(f"{sorted(unknown)[0]} is not a venue with a full session.", f"The venues are {', '.join(venues)}.")
    try:
        asyncio.run(_reconcile(find(data_dir, port_offset), venue or venues, dry_run))
    except Corrupt as error:
        raise Refused(f"The journal does not verify: {error}.", "Do not continue from it; keep the data directory.") from error
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", f"Repeat the command when it answers. {START}") from error


async def _reconcile(addresses: Addresses, venues: list[str], dry_run: bool) -> None:
    from apps.connections import journals  # late: these imports load service code
    from apps.tools.reconcile import venues as at_venues

    left = 0
    async with connected(addresses["nats"], "trade reconcile") as client:
        opened = await journals.order_journals(client)
        for name, (shard, journal) in itertools.product(venues, enumerate(opened)):
            done = await at_venues.reconcile(client, journal, name, write=not dry_run, shard=shard)
            rows = [(name, d.what, d.account, d.symbol, d.order_id, d.about, d.ours, d.theirs) for d in done.found[:SHOWN_MAX]]
            if rows:
                show.table("", COLUMNS, rows)
            more = f", {len(done.found)} differences" if done.found else ", no difference"
            repaired = f", {done.repaired} repaired" if done.repaired else ""
            of_shard = f" of shard {shard}" if len(opened) > 1 else ""
            show.line(f"{name}{of_shard}: {done.orders} routes and {done.trades} trades as of sequence {done.as_of_seq}{more}{repaired}")
            left += len(done.left)
    if left:
        remedy = "Repair what can be repaired: trade reconcile" if dry_run else "An operator must examine them: docs/venues.md."
        raise Refused(f"{left} differences remain.", remedy)
