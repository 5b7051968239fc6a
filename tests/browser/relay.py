"""What stands between a browser and a service: one connection that is passed on in both directions."""

import asyncio
import contextlib
from typing import Final

PIECE: Final = 64 * 1024
ENDED: Final = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
"""How a connection may end. The last: by the end of the test."""


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, port: int) -> None:
    """Send a head that was read to a port of 127.0.0.1, and pass on what follows until one side ends."""
    answers, requests = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(requests):
        requests.write(head)
        pumps = {asyncio.ensure_future(_pump(reader, requests)), asyncio.ensure_future(_pump(answers, writer))}
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
