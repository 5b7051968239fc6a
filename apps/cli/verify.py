"""`trade verify`: compare all state with the journal."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from adapters.codec import encode
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.archive import FORMS, REPEAT, verified
from apps.cli.archive import opened as opened_archive
from apps.cli.client import START
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from apps.cli.trust import verification
from apps.tools.verify.report import VerificationReport, together
from domain.ports import Journal, Missing, Unavailable
from domain.shards import Shards


def verify(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help=f"The archive, with --archive: {FORMS}.", show_default=False)] = None,
    archive: Annotated[
        bool, typer.Option("--archive", help="Verify the archive instead, from its objects alone. By default that of TRADE_ARCHIVE_URL.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Read the whole journal and verify its chain, every order's transitions and sums, the order store, Valkey, fills, oms and controls.

    With --archive nothing but the archive is read: the chain of every journal, holes, damaged objects, the rows of events against the
    commits. Exit code 0 if everything agrees, 1 with the first difference, 3 if something could not be read.
    """
    if archive:
        _verify_archive(url, data_dir, quiet=json)
        return
    if url is not None:
        raise WrongUsage("An address is only read with --archive.", f"trade verify --archive {url}")
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


def _verify_archive(url: str | None, data_dir: Path | None, *, quiet: bool) -> None:
    objects = opened_archive(url, data_dir)
    try:
        report = asyncio.run(verified(objects, quiet=quiet))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", REPEAT) from error
    if quiet:
        show.raw(encode(report))
    if not report.ok:
        raise Refused(f"{report.first_difference}.", ARCHIVE_REMEDY)


ARCHIVE_REMEDY = "While the journals exist, sink-alt writes a removed object again: docs/archive.md, Repair."
REMEDY = "The journal is authoritative: docs/operations.md describes how to rebuild each of the others from it."


async def _verify(addresses: Addresses, *, quiet: bool) -> VerificationReport:
    from apps.connections.journals import order_journals
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
    reports = []
    async with connected(addresses["nats"], "trade verify") as client:
        journals = await order_journals(client)
        for shard, journal in enumerate(journals):
            of_shard = msgspec.structs.replace(places, shards=Shards(len(journals)), shard=shard)
            async with opened(of_shard, client, verification()) as sides:
                with progress_of(await _end(journal)) as progress:
                    reports.append(await verify(journal, sides, progress=progress))
    report = together(reports)
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
