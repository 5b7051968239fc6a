"""Every user of Valkey x every command the server knows x the keys there are: the server agrees with `apps.stack.credentials.valkey`."""

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from adapters.risk_snapshot import ValkeySnapshots
from adapters.valkey import LIBRARY, NAME, ValkeyPositions
from apps.stack import servers
from apps.stack.credentials import keys
from apps.stack.credentials.users import ADMIN, READER, VALKEY_USERS
from apps.stack.credentials.valkey import GUEST, RIGHTS, STRANGER, ValkeyRights
from config import secrets
from domain.ports import Unavailable
from domain.position.position import Position
from tests.live import LiveServer, live

KEYS: Final = (
    "position:alice:BTCUSDT",
    "projection:positions",
    "projection:symbols:alice",
    "risk:portfolio:alice",
    "other",
    "positions",
    "",
)
ATTACKS: Final = (
    ["FUNCTION", "LOAD", "REPLACE", LIBRARY.replace("return 1", "return 0")],
    ["FUNCTION", "LOAD", "#!lua name=mine\nredis.register_function('mine', function() return 1 end)"],
    ["FUNCTION", "DELETE", NAME],
    ["FUNCTION", "FLUSH"],
    ["FUNCTION", "RESTORE", "x"],
    ["FUNCTION", "KILL"],
    ["EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "position:alice:BTCUSDT"],
    ["SCRIPT", "FLUSH"],
    ["SCRIPT", "LOAD", "return 1"],
    ["CONFIG", "SET", "appendonly", "no"],
    ["CONFIG", "SET", "dir", "elsewhere"],
    ["ACL", "SETUSER", "default", "+@all", "allkeys"],
    ["ACL", "LOAD"],
    ["FLUSHALL"],
    ["FLUSHDB"],
    ["SWAPDB", "4", "5"],
    ["MOVE", "position:alice:BTCUSDT", "4"],
    ["COPY", "position:alice:BTCUSDT", "position:mallory:BTCUSDT"],
    ["RENAME", "position:alice:BTCUSDT", "position:mallory:BTCUSDT"],
    ["SORT", "position:alice:BTCUSDT", "STORE", "position:mallory:BTCUSDT"],
    ["RESTORE", "position:mallory:BTCUSDT", "0", "x"],
    ["MIGRATE", "127.0.0.1", "1", "position:alice:BTCUSDT", "0", "1"],
    ["REPLICAOF", "127.0.0.1", "1"],
    ["MODULE", "LOAD", "mine.so"],
    ["DEBUG", "SLEEP", "0"],
    ["SHUTDOWN", "NOSAVE"],
    ["CLIENT", "KILL", "TYPE", "normal"],
    ["CLIENT", "PAUSE", "1"],
    ["MONITOR"],
    ["KEYS", "*"],
    ["SAVE"],
    ["BGREWRITEAOF"],
    ["PUBLISH", "x", "y"],
)


@dataclass(frozen=True)
class Guarded:
    """A server with users, and the files of their passwords."""

    server: LiveServer
    directory: Path

    def url(self, user: str) -> str:
        return secrets.with_user(self.server.url, *secrets.read(user, {secrets.VARIABLE: str(self.directory)})["valkey.url"])

    def client(self, user: str) -> Redis:
        """`default`: without a password."""
        return Redis.from_url(self.server.url if user == "default" else self.url(user), db=5, decode_responses=True)


def _guarded(home: Path, *, guests: bool) -> Iterator[Guarded]:
    keys.init(home / "secrets", guests=guests)
    server = live(partial(servers.valkey, secrets=home / "secrets"), home)
    yield Guarded(server, home / "secrets")
    server.stop()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _guarded(tmp_path_factory.mktemp("closed"), guests=False)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _guarded(tmp_path_factory.mktemp("opened"), guests=True)


@pytest.fixture
async def projected(closed: Guarded) -> Guarded:
    """With a position that the projector stored, and nothing denied so far."""
    with closed.client(ADMIN) as admin:
        admin.flushall()
        admin.execute_command("ACL", "LOG", "RESET")
    store = ValkeyPositions.at(closed.url("projector"))
    assert await store.store([Position(account="alice", symbol="BTCUSDT")], after=0, seq=7)
    await store.close()
    return closed


def told(client: Redis, *words: str) -> Any:
    """The answer to a command, of which the library says no type."""
    execute: Callable[..., Any] = client.execute_command
    return execute(*words)


def known(client: Redis) -> dict[str, list[Any]]:
    """Command or `command|subcommand` -> what the server says of it. Those that only hold subcommands are left out."""
    client.set_response_callback("COMMAND", lambda found, **_: found)
    found: dict[str, list[Any]] = {}
    for each in told(client, "COMMAND"):
        found |= {inner[0]: inner for inner in each[9]} or {each[0]: each}
    return found


def verdict(admin: Redis, user: str, words: list[str]) -> str:
    return str(told(admin, "ACL", "DRYRUN", user, *words))


def allowed(server: Guarded, user: str) -> set[str]:
    """The commands that the server lets a user run, on whatever keys."""
    found = set()
    with server.client(ADMIN) as admin:
        for name, about in known(admin).items():
            words = name.split("|")
            more = [KEYS[0]] * (abs(int(about[1])) - len(words))
            if "no permissions to run" not in verdict(admin, user, words + more):
                found.add(name)
    return found


def without_password(server: Guarded) -> set[str]:
    """Commands that no rule can deny: they are how one logs in and out."""
    with server.client(ADMIN) as admin:
        return {name for name, about in known(admin).items() if "no_auth" in about[2]}


def test_every_user_has_rights_and_only_the_admin_has_all() -> None:
    assert set(RIGHTS) | {ADMIN} == set(VALKEY_USERS)


@pytest.mark.parametrize("user", RIGHTS)
def test_a_user_may_run_the_commands_of_the_table_and_no_other(closed: Guarded, user: str) -> None:
    assert allowed(closed, user) - without_password(closed) == set(RIGHTS[user].commands)


def test_without_a_password_a_connection_is_a_reader_where_there_are_guests_and_is_refused_elsewhere(
    closed: Guarded, opened: Guarded
) -> None:
    assert allowed(opened, "default") - without_password(opened) == set(GUEST.commands) == set(RIGHTS[READER].commands)
    assert allowed(closed, "default") - without_password(closed) == set(STRANGER.commands) == {"ping"}


@pytest.mark.parametrize("user", [*RIGHTS, "default"])
def test_a_user_reads_and_writes_the_keys_of_the_table_and_no_other(opened: Guarded, user: str) -> None:
    rights = GUEST if user == "default" else RIGHTS[user]
    with opened.client(ADMIN) as admin:
        for key in KEYS:
            may = {
                "read": verdict(admin, user, ["HGETALL", key]) == "OK",
                "write": verdict(admin, user, ["HSET", key, "quantity", "1"]) == "OK",
                "delete": verdict(admin, user, ["UNLINK", key]) == "OK",
            }
            assert may == expected(rights, key), (user, key)


def expected(rights: ValkeyRights, key: str) -> dict[str, bool]:
    reads, writes = (any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns) for patterns in (rights.reads, rights.writes))
    return {
        "read": reads and "hgetall" in rights.commands,
        "write": writes and "hset" in rights.commands,
        "delete": writes and "unlink" in rights.commands,
    }


@pytest.mark.parametrize("user", [*RIGHTS, "default"])
async def test_a_user_that_tries_anything_more_is_refused_and_nothing_changes(projected: Guarded, opened: Guarded, user: str) -> None:
    server = opened if user == "default" else projected
    with server.client(ADMIN) as admin, server.client(user) as client:
        before = everything(admin)
        for attack in ATTACKS:
            if attack[:2] == ["FUNCTION", "LOAD"] and user == "projector":
                continue
            with pytest.raises(ResponseError, match=r"no permissions|not allowed"):  # some are switched off for all
                client.execute_command(*attack)
        assert everything(admin) == before


def everything(admin: Redis) -> list[object]:
    """All keys of the two databases, the functions, the users."""
    found: list[object] = [told(admin, "FUNCTION", "LIST", "WITHCODE"), told(admin, "ACL", "LIST")]
    for database in (4, 5):
        admin.select(database)
        found += [(key, admin.hgetall(key) if admin.type(key) == "hash" else admin.type(key)) for key in sorted(admin.scan_iter())]
    return found


async def test_programs_use_nothing_that_their_rights_do_not_have(projected: Guarded) -> None:
    for user in ("projector", "oms", "operator"):
        store = ValkeyPositions.at(projected.url(user), position_ttl_sec=60)
        await store.ping()
        assert (await store.of("alice"))[1] == await store.checkpoint() == 7
        assert len(await store.load()) == 1
        await store.clear()
        assert await store.store([Position(account="alice", symbol="BTCUSDT")], after=0, seq=7)
        await store.close()
    portfolios = ValkeySnapshots.at(projected.url("risk"), database=4, timeout_ms=1000, connections_max=1)
    await portfolios.ping()
    await portfolios.write([("alice", {"equity": "1"})])
    await portfolios.close()
    with projected.client(READER) as reader, projected.client(ADMIN) as admin:
        assert reader.hget("position:alice:BTCUSDT", "seq") == "0"
        assert admin.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize("user", ["oms", "operator"])
async def test_only_the_projector_loads_the_function(projected: Guarded, user: str) -> None:
    with projected.client(ADMIN) as admin:
        admin.execute_command("FUNCTION", "FLUSH")
    other, projector = ValkeyPositions.at(projected.url(user)), ValkeyPositions.at(projected.url("projector"))
    with pytest.raises(Unavailable, match="the projector loads it"):
        await other.store([], after=7, seq=8)
    assert await other.checkpoint() == 7
    assert await projector.store([], after=7, seq=8)
    assert await other.store([], after=8, seq=9)
    await other.close()
    await projector.close()
