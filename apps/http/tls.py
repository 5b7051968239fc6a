"""TLS of a service's ports and of its clients: contexts from files, and a listener that bounds handshakes."""

import asyncio
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from config.sections import AccessSection, TlsSection
from config.settings import Settings
from config.text import ConfigError

VERSION_MIN: Final = ssl.TLSVersion.TLSv1_2
ACCEPT_AGAIN_S: Final = 0.1
"""Pause after a failed accept: usually the process has no free file descriptor."""


def server_context(access: AccessSection) -> ssl.SSLContext | None:
    """Return the context of a service's ports; None for plain HTTP. ConfigError, with the key and the file."""
    files = access.tls
    if not isinstance(files, TlsSection):
        return None
    _refuse_readable_by_all(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSION_MIN
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _read("access.tls.cert", files.cert, lambda: files.cert.read_bytes())
    _read("access.tls.key", files.key, lambda: context.load_cert_chain(files.cert, files.key, password=lambda: b""))
    if files.client_ca is not None:
        _read("access.tls.client_ca", files.client_ca, lambda: context.load_verify_locations(files.client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def context_to_peers(settings: Settings) -> ssl.SSLContext | bool:
    """Return what a service checks the certificates of other services with, as httpx takes it. ConfigError.

    A service that has a certificate shows it where a peer asks for one, so one file serves both directions.
    """
    ca_file, own = settings.peers.ca_file, settings.access.tls
    if isinstance(own, TlsSection):
        return client_context(ca_file, own.cert, own.key)
    return client_context(ca_file) if ca_file is not None else True


def needed_for(url: str, verify: ssl.SSLContext | bool) -> ssl.SSLContext | bool:
    """Return `verify`, or for an address of plain HTTP a context that trusts no authority: reading the system's takes 24 ms."""
    return verify if verify is not True or not url.startswith("http://") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client_context(
    ca_file: Path | None,
    cert: Path | None = None,
    key: Path | None = None,
    *,
    named: tuple[str, str] = ("peers.ca_file", "access.tls.cert"),
) -> ssl.SSLContext:
    """Return the context of a client. It trusts `ca_file` only, or the system's authorities; it shows `cert` where a server asks.

    ConfigError for a file that cannot be read or is not what it should be; `named` are the keys of the two files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = VERSION_MIN
    if ca_file is None:
        context.load_default_certs()
    else:
        _read(named[0], ca_file, lambda: context.load_verify_locations(ca_file))
    if cert is not None:
        _read(named[1], cert, lambda: context.load_cert_chain(cert, key, password=lambda: b""))
    return context


def _read(key: str, file: Path, read: Callable[[], object]) -> None:
    try:
        read()
    except ssl.SSLError as error:
        reason = error.reason or "not PEM"
        raise ConfigError(f"{file}: {key}: does not have the right content: {reason.lower().replace('_', ' ')}") from error
    except OSError as error:
        raise ConfigError(f"{file}: {key}: cannot be read: {error.strerror}") from error


def _refuse_readable_by_all(file: Path) -> None:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"{file}: access.tls.key: cannot be read: {error.strerror}") from error
    if mode & 0o007:
        raise ConfigError(f"{file}: access.tls.key: every user of this machine can read it (mode {mode:03o}): chmod 640 or 600")


class TlsListener:
    """Accepts connections on a bound socket and passes each to a protocol after its handshake.

    asyncio's own server neither counts connections in their handshake nor closes them early, so a client that never completes one would
    hold memory beyond every bound. Here at most `handshakes_max` are in progress, the longest one gives way, and each has a deadline.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        handshakes_max: int,
        deadline_s: float,
        linger_s: float,
    ) -> None:
        """`linger_s`: how long a closed connection waits for the client to close it too."""
        self._listening = listening
        self._context = context
        self._protocol = protocol
        self._handshakes_max = handshakes_max
        self._deadline_s = deadline_s
        self._linger_s = linger_s
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._accepting = asyncio.get_running_loop().create_task(self._accept(), name="tls accept")

    def close(self) -> None:
        """Accept no more connections and end the handshakes in progress."""
        for task in (self._accepting, *self._handshakes):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait((self._accepting, *self._handshakes))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if len(self._handshakes) >= self._handshakes_max:
                longest = next(iter(self._handshakes))
                del self._handshakes[longest]
                longest.cancel()
            task = loop.create_task(self._shake_hands(connection), name="tls handshake")
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _shake_hands(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._context, ssl_handshake_timeout=self._deadline_s, ssl_shutdown_timeout=self._linger_s
            )
        except OSError:  # the client speaks no TLS, is too slow, or has no certificate that is accepted
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
