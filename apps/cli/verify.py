"""`trade verify`: compare all state with the journal."""

import asyncio
from typing import Annotated

import typer

from adapters.codec import encode
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.client import START
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Unreachable
from apps.cli.trust import verification
from apps.tools.verify.report import VerificationReport
from domain.ports import Journal, Missing, Unavailable


def verify(
    json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Read the whole journal and verify its chain, every order's transitions and sums, the order store, Valkey, fills, oms and controls.

    Exit code 0 if everything agrees, 1 with the first difference, 3 if something could not be read.
    """
    try:
        report = asyncio.run(_verify(find(data_dir, port_offset), quiet=json))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", f"Repeat the command when it answers. {START}") from error
    if json:
        show.raw(encode(report))
    if not report.ok:
        raise Refused(f"{report.first_difference}.", REMEDY)
    if away := [check.name for check in report.checks if check.outcome == "unreachable"]:
        raise Unreachable(
            f"Not compared: {', '.join(away)}.", "Repeat the command when it answers; trade status shows which services are healthy."
        )


REMEDY = "The journal is authoritative: docs/operations.md describes how to rebuild each of the others from it."


async def _verify(addresses: Addresses, *, quiet: bool) -> VerificationReport:
    from apps.connections.journals import order_journal
    from apps.tools.verify.places import Places, opened  # late: these imports load service code
    from apps.tools.verify.run import verify

    in_questdb = "questdb" in addresses.urls
    places = Places(
        valkey=addresses["valkey"],
        questdb_pg=addresses.questdb_pg_to_connect if in_questdb else "",
        oms=addresses.urls.get("oms", ""),
        oms_key=addresses.key_for("oms", "/orders"),
        data_dir=addresses.data_dir,
    )
    async with connected(addresses["nats"], "trade verify") as client, opened(places, client, verification()) as sides:
        journal = await order_journal(client)
        with progress_of(await _end(journal)) as progress:
            report = await verify(journal, sides, progress=progress)
    if not quiet:
        for check in report.checks:
            show.line(check.line())
    return report


async def _end(journal: Journal) -> int:
    """Return the last sequence; 0 if the journal is missing, which the verification itself reports."""
    try:
        return (await journal.head()).seq
    except Missing:
        return 0
