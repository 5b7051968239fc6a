"""NATS over TLS: `tls://` connects to a server whose certificate is trusted, and never sends a password in the clear."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters import bus
from domain.ports import Unavailable
from tests.apps.authority_of_certificates import CertificateAuthority
from tests.children import started
from tests.ports import free_ports

NATS = Path(sys.executable).parent / "nats-server"


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[int]:
    (port,) = free_ports(1)
    command = [str(NATS), "--addr", "127.0.0.1", "--port", str(port), *options]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            async with asyncio.timeout(60):
                while not _listens(port):
                    assert child.poll() is None
                    await asyncio.sleep(0.02)
            yield port
        finally:
            child.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_trusted_server_is_connected_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = CertificateAuthority(tmp_path)
    cert, key = authority.signs("nats")
    async with running("--tls", "--tlscert", str(cert), "--tlskey", str(key)) as port:
        with pytest.raises(Unavailable):
            await bus.connect(f"tls://127.0.0.1:{port}", "stranger", closed=lambda: None, timeout_s=2)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        client = await bus.connect(f"tls://127.0.0.1:{port}", "trusting", closed=lambda: None, timeout_s=30)
        assert client.is_connected
        await client.close()


async def test_a_server_without_tls_gets_no_password() -> None:
    received = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
        received.extend(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unavailable):
        await bus.connect(f"tls://oms:hunter2@127.0.0.1:{port}", "careful", closed=lambda: None, timeout_s=2)
    server.close()
    await server.wait_closed()
    assert bytes(received) == b""
