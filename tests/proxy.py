"""A TCP connection that a test may treat badly: cut, reset, delayed, frozen one way, sliced, and every nth ack of NATS dropped.

It keeps its time whatever the test does (tests/aside.py). Every switch takes effect at once.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final, Self

from apps.stack.ports import HOST
from tests.aside import Aside

PIECE: Final = 64 * 1024
LINGER_NOT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset."""


class Proxy:
    """In front of 127.0.0.1:`target`. `url` says nats://; `answers` go from the server to the client, `requests` the other way."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.requests = Direction()
        self.answers = Direction()
        self.connections = 0
        self.refusing = False
        self._pipes: set[Pipe] = set()
        self._aside = Aside()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._aside.call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._aside.call(self._close())
        self._aside.close()

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    def cut(self) -> None:
        """Every connection ends now; new ones are taken."""
        self._aside.call(self._end(reset=False))

    def reset(self) -> None:
        """As `cut`, but with a reset: what was under way is lost on both sides."""
        self._aside.call(self._end(reset=True))

    def refuse(self, refusing: bool = True) -> None:
        """Cut, and take no connection until told otherwise."""
        self.refusing = refusing
        if refusing:
            self.cut()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, 0, limit=PIECE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.close()
            return
        try:
            behind = await asyncio.open_connection(HOST, self.target, limit=PIECE)
        except OSError:
            writer.close()
            return
        self.connections += 1
        pipe = Pipe((reader, writer), behind)
        self._pipes.add(pipe)
        try:
            await pipe.run(self.requests, self.answers)
        finally:
            self._pipes.discard(pipe)

    async def _end(self, *, reset: bool) -> None:
        for pipe in list(self._pipes):
            pipe.end(reset=reset)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._end(reset=False)


class Direction:
    """What happens to bytes that go one way. All switches may be set from any thread."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.frozen = False
        self.slice_bytes = 0
        self.lose_every = 0
        self.lost = 0
        self._acks = 0

    def lose_acks(self, every: int) -> None:
        """Every nth ack of a JetStream publish is taken out of the stream of NATS messages. Zero: none."""
        self.lose_every = every

    def keeps(self, message: bytes) -> bool:
        if not self.lose_every or b'"stream":' not in message[:400] or b'"seq":' not in message[:400]:
            return True
        self._acks += 1
        if self._acks % self.lose_every:
            return True
        self.lost += 1
        return False


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pipe:
    """One connection through the proxy: two ends, and a pump for each direction."""

    def __init__(self, client: Ends, server: Ends) -> None:
        self._client = client
        self._server = server

    async def run(self, requests: Direction, answers: Direction) -> None:
        pumps = {
            asyncio.ensure_future(_pump(self._client[0], self._server[1], requests, lambda data: data)),
            asyncio.ensure_future(_pump(self._server[0], self._client[1], answers, NatsMessages(answers).kept)),
        }
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self.end(reset=False)

    def end(self, *, reset: bool) -> None:
        for _, writer in (self._client, self._server):
            if reset and (raw := writer.get_extra_info("socket")) is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                writer.transport.abort()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction, kept: Callable[[bytes], bytes]) -> None:
    """Bytes in their order, each piece held back by the delay counted from when it came."""
    loop = asyncio.get_running_loop()
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            came, data = await held.get()
            await asyncio.sleep(max(0.0, came + direction.delay_s - loop.time()))
            while direction.frozen:
                await asyncio.sleep(0.005)
            size = direction.slice_bytes or len(data) or 1
            for at in range(0, len(data), size):
                writer.write(data[at : at + size])
                await writer.drain()
                if direction.slice_bytes:
                    await asyncio.sleep(0)

    writing = asyncio.ensure_future(write())
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                held.put_nowait((loop.time(), kept(data)))
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


class NatsMessages:
    """Cuts what nats-server sends into its messages, so that one can be lost without spoiling the protocol."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._rest = b""

    def kept(self, data: bytes) -> bytes:
        self._rest += data
        kept = bytearray()
        while (size := self._first_size()) is not None:
            message, self._rest = self._rest[:size], self._rest[size:]
            if self._direction.keeps(message):
                kept += message
        return bytes(kept)

    def _first_size(self) -> int | None:
        """How long the first message is, its payload included; None while it is not all here."""
        line, found, _ = self._rest.partition(b"\r\n")
        if not found:
            return None
        words = line.split()
        payload = int(words[-1]) + 2 if words and words[0] in (b"MSG", b"HMSG") else 0
        size = len(line) + 2 + payload
        return size if len(self._rest) >= size else None
