"""`trade backup` and `trade restore`: write the journals to one file, and restore them from it."""

import asyncio
import getpass
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from adapters.clock import SystemClock
from adapters.journalcopy import shards_in, streams
from adapters.subjects import ORDER_STREAM
from apps.cli import show
from apps.cli.addresses import Addresses, find
from apps.cli.archive import FORMS, REPEAT
from apps.cli.archive import opened as opened_archive
from apps.cli.client import START
from apps.cli.connection import connected
from apps.cli.options import DataDir, PortOffset
from apps.cli.progress import progress_of
from apps.cli.trouble import Refused, Unreachable, WrongUsage
from apps.stack.directory import shards_of
from domain.access.events import AccessAccepted
from domain.ports import Corrupt, Head, Unavailable

if TYPE_CHECKING:
    from adapters.objects import Objects
    from apps.tools.backup.streams import Copy

EMPTY: Final = "Restore into new servers: trade up --fresh --only-servers, with another --data-dir to keep the current state."

COMMITS_VERIFY: Final = "All commits verify, and they are all that is restored. To restore them: --commits-only"


def backup(
    file: Annotated[
        Path, typer.Argument(dir_okay=False, metavar="FILE", help="A new file. It appears under this name only when complete.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Write all journals to a file while the stack runs. Each commit is verified against the chain; the file is read back at the end.

    Everything else (positions, fills, the orders table) is rebuilt from the journals. Configuration and passwords are not included.
    """
    try:
        asyncio.run(_backup(find(data_dir, port_offset), file, force))
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START) from error
    except Corrupt as error:
        raise Refused(f"The journal does not verify: {error}.", "No backup was made; keep the earlier backups.") from error
    except FileExistsError as error:
        raise Refused(f"{file} exists already; nothing was written.", "Name another file, or replace this one: --force") from error
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}.") from error


def restore(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, metavar="[FILE]", help="A file made by `trade backup`.", show_default=False),
    ] = None,
    from_archive: Annotated[
        str | None, typer.Option("--from-archive", metavar="URL", help=f"Restore from an archive instead of a file: {FORMS}.")
    ] = None,
    commits_only: Annotated[
        bool, typer.Option("--commits-only", help="Do not compare the archive's rows of events, which restore nothing, with its commits.")
    ] = False,
    keep_keys: Annotated[
        bool, typer.Option("--keep-keys", help="Keep the keys of the backup valid. Without it all are revoked but the command line's.")
    ] = False,
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Restore the journals into servers that have none (trade up --fresh --only-servers), with the same sequence numbers.

    The whole file, or the whole archive, is verified before anything is written. The written journals are read back and compared. The
    keys in it are revoked: who may trade in the one environment may not trade in another one because of a file.
    """
    from apps.tools.archive.check import EventsDiffer
    from apps.tools.backup.streams import CopiedShardsDiffer, NotEmpty

    if (file is None) == (from_archive is None):
        raise WrongUsage("Name the file of a backup, or an archive: one of both.", f"trade restore FILE, or --from-archive {FORMS}")
    if commits_only and from_archive is None:
        raise WrongUsage("--commits-only is for an archive: a backup has no rows of events.")
    try:
        addresses = find(data_dir, port_offset)
        archive = opened_archive(from_archive, addresses.data_dir) if file is None else None
        asyncio.run(_restore(addresses, file, archive, keep_keys=keep_keys, rows=not commits_only))
    except NotEmpty as error:
        raise Refused(f"Nothing was written: {error}.", EMPTY) from error
    except CopiedShardsDiffer as error:
        remedy = f"Restore into servers of the same number: trade up --fresh --only-servers --shards {error.copied}"
        raise Refused(f"Nothing was written: {error}.", remedy) from error
    except Unavailable as error:
        raise Unreachable(f"{str(error).rstrip('.')}.", START if file is not None else REPEAT) from error
    except EventsDiffer as error:
        raise Refused(f"Nothing was written: {error}.", COMMITS_VERIFY) from error
    except Corrupt as error:
        raise Refused(f"{error}.", "Restore another backup or archive, into empty servers.") from error


async def _backup(addresses: Addresses, file: Path, force: bool) -> None:
    from apps.tools.backup.streams import keep, size  # late: this import loads service code

    async with connected(addresses["nats"], "trade backup") as client:
        with progress_of(await size(client)) as progress:
            seal = await keep(client, file, SystemClock().now_ns(), progress, replace=force)
    _print_heads(seal.heads)
    show.line(f"{file}: {file.stat().st_size} bytes, read back and complete, sha256 of its lines {seal.sha256}")


async def _restore(addresses: Addresses, file: Path | None, archive: "Objects | None", *, keep_keys: bool, rows: bool) -> None:
    from apps.tools.archive.check import ArchiveCopy, archive_size
    from apps.tools.backup.streams import bring_back

    async with AsyncExitStack() as exits:
        client = await exits.enter_async_context(connected(addresses.as_admin("nats"), "trade restore"))
        if archive is not None:
            copy: Copy = ArchiveCopy(archive, rows=rows)
            commits, as_of = await archive_size(archive), f"from {archive.url}"
        else:
            assert file is not None
            copy, commits, as_of = _of_file(file)
        shards = shards_in(await copy.max_bytes())
        same_shards(addresses.data_dir, shards)
        writers = {
            stream: await exits.enter_async_context(connected(addresses.as_writer_of(_written_as(stream)), f"trade restore {stream}"))
            for stream in streams(shards)
        }
        progress = exits.enter_context(progress_of(commits))
        heads = await bring_back(client, writers, copy, progress, revoke=None if keep_keys else _revoked)
    _print_heads(heads)
    show.line(f"{as_of}, read back and identical; positions and fills are rebuilt when the services start")


def same_shards(data_dir: Path | None, copied: int) -> None:
    """Check that the stack of this directory has as many shards as the copy: its users have rights for no others. CopiedShardsDiffer."""
    from apps.tools.backup.streams import CopiedShardsDiffer

    if data_dir is not None and (expected := shards_of(data_dir, None, fresh=False)) != copied:
        raise CopiedShardsDiffer(copied, expected)


def _written_as(stream: str) -> str:
    """Return the stream under whose name the user is known that writes this one: one user writes all shards."""
    return ORDER_STREAM if stream.startswith(ORDER_STREAM) else stream


def _of_file(file: Path) -> "tuple[Copy, int, str]":
    """Return the copy in a file, its number of commits, and when it was made, as text. Corrupt."""
    from apps.tools.backup.file import heading_of, sealed
    from apps.tools.backup.streams import BackupCopy

    made = datetime.fromtimestamp(heading_of(file).at / 1e9, UTC).isoformat(timespec="seconds")
    return BackupCopy(file), sum(head.n for heads in sealed(file).heads.values() for head in heads.values()), f"as of {made}"


def _revoked(head: Head) -> AccessAccepted:
    who, at = getpass.getuser(), SystemClock().now_ns()
    return AccessAccepted(
        version=head.n + 1, at=at, who=who, reason="restored from a backup", goes_on_from=head.seq, acknowledged_to=head.seq
    )


def _print_heads(heads: Mapping[str, Mapping[str, Head]]) -> None:
    rows = [(stream, subject, head.seq, head.n) for stream, of in heads.items() for subject, head in of.items()]
    show.table("", ("stream", "journal", "head", "commits"), rows, numbers=("head", "commits"))
