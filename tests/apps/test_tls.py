"""TLS of a service's port on a real socket: who connects, who does not, and the same bounds as without it."""

import asyncio
import contextlib
import ssl
import time
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.cli.addresses import Addresses
from apps.cli.client import Oms
from apps.cli.trouble import Unreachable, WrongUsage
from apps.cli.trust import verification
from apps.http import limits
from apps.http.access import Access
from apps.http.app import Listener, fast_path, serve
from apps.http.tls import context_to_peers, server_context
from apps.risk.decision_lookup import Decisions
from config.loading import SERVICES
from config.sections import AccessSection
from config.text import ConfigError
from domain.access.keys import KeyRing
from tests.apps.authority_of_certificates import CertificateAuthority
from tests.apps.test_bounds import GOOD, LOCAL, Seen, Wire, deadline
from tests.apps.test_service import Running

CONNECTIONS_MAX = 20


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def files(authority: CertificateAuthority, **others: Path) -> AccessSection:
    cert, key = authority.signs("server")
    return AccessSection.model_validate({"tls": {"cert": cert, "key": key, **others}})


@contextlib.asynccontextmanager
async def opened(seen: Seen, access: AccessSection) -> AsyncIterator[Listener]:
    context = server_context(access)
    assert context is not None
    app = fast_path(seen, {("POST", "/"): seen})
    listener = await serve(app, LOCAL, 0, Access(["x"]), None, tls=context, connections_max=CONNECTIONS_MAX, drain_sec=1)
    yield listener
    await listener.stop()


@pytest.fixture
async def door(seen: Seen, authority: CertificateAuthority) -> AsyncIterator[Listener]:
    async with opened(seen, files(authority)) as listener:
        yield listener


@contextlib.asynccontextmanager
async def connected(door: Listener, context: ssl.SSLContext) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(LOCAL, door.port, ssl=context, server_hostname="localhost")
    yield Wire(reader, writer)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_a_service_speaks_tls_on_both_its_ports(authority: CertificateAuthority, tmp_path: Path) -> None:
    cert, key = authority.signs("server")
    running = Running(tmp_path, TRADE_HOST="0.0.0.0", TRADE_TLS=f"{{cert: {cert}, key: {key}}}")
    with httpx.Client(verify=authority.trusted(), timeout=60) as client, running.process:
        try:
            for port, path in ((running.port, "/health"), (running.metrics_port, "/health"), (running.metrics_port, "/metrics")):
                assert until_answered(client, running, f"https://127.0.0.1:{port}{path}").status_code == 200
                with pytest.raises(httpx.TransportError):
                    running.get(path, port)
            running.process.terminate()
            assert running.ended()[0] == 0
        finally:
            running.process.kill()


def until_answered(client: httpx.Client, running: Running, url: str) -> httpx.Response:
    end = time.monotonic() + 120
    while True:
        try:
            answer = client.get(url)
            if answer.status_code != 503 or time.monotonic() > end:
                return answer
        except httpx.TransportError:
            assert running.process.poll() is None, running.process.communicate()
            assert time.monotonic() < end
        time.sleep(0.05)


async def test_a_client_that_trusts_the_authority_is_answered_and_any_other_is_not(door: Listener, authority: CertificateAuthority) -> None:
    async with httpx.AsyncClient(verify=authority.trusted(), base_url=f"https://localhost:{door.port}", timeout=60) as client:
        answer = await client.post("/", content=b"hi", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (200, {"size": 2})
    async with httpx.AsyncClient(verify=ssl.create_default_context(), timeout=60) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://localhost:{door.port}/")


async def test_plain_http_on_this_port_gets_no_answer(door: Listener, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection(LOCAL, door.port)
    writer.write(GOOD)
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert seen.bodies == []


async def test_versions_before_1_2_are_refused(door: Listener, authority: CertificateAuthority) -> None:
    old = authority.trusted()
    old.set_ciphers("ALL:@SECLEVEL=0")  # or the client itself would not try
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with connected(door, old):
            pass
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = authority.trusted()
        context.minimum_version = context.maximum_version = version
        async with connected(door, context) as wire:
            await wire.send(GOOD)
            assert await wire.answer() == (200, {"size": 2})


async def answered(door: Listener, context: ssl.SSLContext) -> tuple[int, dict[str, object]]:
    async with connected(door, context) as wire:
        await wire.send(GOOD)
        return await wire.answer()


async def test_a_client_must_show_a_certificate_of_the_named_authority(seen: Seen, authority: CertificateAuthority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = CertificateAuthority(tmp_path / "other", "another authority")
    async with opened(seen, files(authority, client_ca=authority.file)) as door:
        for whose in (None, other):
            context = authority.trusted()
            if whose is not None:
                context.load_cert_chain(*whose.signs("stranger"))
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await answered(door, context)
        assert seen.bodies == []
        context = authority.trusted()
        context.load_cert_chain(*authority.signs("client"))
        async with connected(door, context) as wire:
            await wire.send(GOOD)
            assert await wire.answer() == (200, {"size": 2})


async def test_the_bounds_hold_as_without_tls(door: Listener, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = authority.trusted()
    async with connected(door, trusted) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 70_000)
        assert (await wire.answer())[1]["code"] == "head_too_large"
        assert await wire.closed()
    async with connected(door, trusted) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 65537\r\n\r\n")
        assert (await wire.answer())[1]["code"] == "body_too_large"
        assert await wire.closed()
    with deadline(0.2):
        async with connected(door, trusted) as wire:
            await wire.send(GOOD[:10])
            assert (await wire.answer())[1]["code"] == "request_timeout"
            assert await wire.closed()
    async with contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(door, trusted)) for _ in range(CONNECTIONS_MAX)]
        late = await stack.enter_async_context(connected(door, trusted))
        await late.send(GOOD)
        assert await late.answer() == (200, {"size": 2})
        assert await idle[0].closed(), "the one that is idle for longest gives way"
    monkeypatch.setattr(limits, "IDLE_MAX_S", 0.1)
    async with connected(door, trusted) as wire:
        await wire.send(GOOD)
        await wire.answer()
        assert await wire.closed()


async def test_a_handshake_that_is_not_completed_ends_and_the_longest_one_gives_way(authority: CertificateAuthority, seen: Seen) -> None:
    with deadline(0.5):
        async with opened(seen, files(authority)) as door:
            _, writer = await asyncio.open_connection(LOCAL, door.port)
            with contextlib.suppress(ConnectionError):
                await _silence(_)
            writer.close()
    async with opened(seen, files(authority)) as door, contextlib.AsyncExitStack() as stack:
        silent = []
        for _ in range(CONNECTIONS_MAX + 5):
            silent.append(await asyncio.open_connection(LOCAL, door.port))
            stack.callback(silent[-1][1].close)
        async with connected(door, authority.trusted()) as wire:
            await wire.send(GOOD)
            assert await wire.answer() == (200, {"size": 2})
        for reader, _ in silent[:5]:
            await _silence(reader)
        assert not silent[-1][0].at_eof()


async def _silence(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 60) == b""


async def test_services_and_commands_trust_the_named_authority(door: Listener, authority: CertificateAuthority) -> None:
    url = f"https://localhost:{door.port}"
    settings = SERVICES["risk"].model_validate({"peers": {"ca_file": authority.file}})
    for verify, reason in ((context_to_peers(settings), "missing required field"), (True, "CERTIFICATE_VERIFY_FAILED")):
        decisions = Decisions.at(url, KeyRing(), verify)
        with pytest.raises(Exception, match=reason):
            await decisions._timeline("o1", {})
        await decisions.close()

    def asks() -> int:
        with Oms(Addresses({"oms": url}, "")) as oms:
            return oms.post("/", {}).status

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADE_CA_FILE", str(authority.file))
        assert await asyncio.to_thread(asks) == 200
        patch.delenv("TRADE_CA_FILE")
        with pytest.raises(Unreachable, match="TRADE_CA_FILE"):
            await asyncio.to_thread(asks)


def test_a_command_names_the_variable_whose_file_is_wrong(tmp_path: Path, authority: CertificateAuthority) -> None:
    (tmp_path / "empty").touch()
    for name in ("TRADE_CA_FILE", "TRADE_CERT_FILE"):
        for file in ("none", "empty"):
            with pytest.raises(WrongUsage, match=f"{file}: {name}: "):
                verification({name: str(tmp_path / file)})
    assert verification({}) is True


def test_a_file_that_is_not_what_it_should_be_is_named_with_its_key(authority: CertificateAuthority, tmp_path: Path) -> None:
    cert, key = authority.signs("server")
    other_cert, other_key = authority.signs("other")
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "text").chmod(0o600)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"cert": tmp_path / "none", "key": key}, r"none: access\.tls\.cert: cannot be read: No such file"),
        ({"cert": cert, "key": tmp_path / "none"}, r"none: access\.tls\.key: cannot be read: No such file"),
        ({"cert": cert, "key": tmp_path / "text"}, r"text: access\.tls\.key: does not have the right content"),
        ({"cert": cert, "key": other_key}, r"other\.key: access\.tls\.key: does not have the right content: key values mismatch"),
        ({"cert": cert, "key": key, "client_ca": tmp_path / "text"}, r"text: access\.tls\.client_ca: does not have the right content"),
    ]
    for tls, reason in wrong:
        with pytest.raises(ConfigError, match=reason):
            server_context(AccessSection.model_validate({"tls": tls}))
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"server\.key: access\.tls\.key: every user of this machine can read it \(mode 644\)"):
        server_context(AccessSection.model_validate({"tls": {"cert": cert, "key": key}}))
    assert server_context(AccessSection()) is server_context(AccessSection(tls="proxied")) is None
    assert other_cert.exists()
