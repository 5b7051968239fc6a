"""Upgrade a data directory of an earlier release before any program is started from it."""

import asyncio
from pathlib import Path

from adapters import bus
from adapters.jetstream import make_readable
from apps.stack.credentials.accounts import move_journals
from apps.stack.credentials.users import ADMIN
from apps.stack.ports import ServerPorts
from apps.stack.process import Process, stop_all
from apps.stack.servers import SERVERS_STOP_S, Servers, nats
from apps.stack.trouble import CannotStart
from config import secrets
from domain.ports import Unavailable


def upgrade(data_dir: Path, ports: ServerPorts, passwords: Path) -> list[str]:
    """Move journals to their own accounts, make them readable without consumers, and return their names. CannotStart."""
    try:
        moved = move_journals(data_dir / "nats")
    except OSError as error:
        raise CannotStart(f"The journals of an earlier release cannot be moved: {error}.") from error
    if moved:
        asyncio.run(_made_readable(moved, data_dir, ports, passwords))
    return moved


async def _made_readable(streams: list[str], data_dir: Path, ports: ServerPorts, passwords: Path) -> None:
    program = nats(data_dir, ports, passwords)
    (data_dir / "logs").mkdir(exist_ok=True)
    process = await Process.start(program, data_dir / "logs" / "nats.out")
    try:
        await process.answers()
        user, password = secrets.read(ADMIN, {secrets.VARIABLE: str(passwords)})["nats.url"]
        url = secrets.with_user(Servers.at(ports).nats_url, user, password)
        client = await bus.connect(url, "trade up: upgrade", closed=lambda: None)
        for stream in streams:
            await make_readable(client, stream)
        await client.close()
    except Unavailable as trouble:
        raise CannotStart(f"The journals of an earlier release cannot be changed: {trouble}.") from trouble
    finally:
        await stop_all([process], within_s=SERVERS_STOP_S)
