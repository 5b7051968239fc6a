"""The embedded servers: they are the real ones, configured as the journal needs, and their absence is one clear sentence."""

import json
import os
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

import nats
import pytest
import redis

from apps.runtime.exit_codes import Exit
from apps.stack import questdb_jar, servers
from apps.stack.ports import ServerPorts, check_free
from apps.stack.process import Process, stop_all
from apps.stack.program import Program, http_answers
from apps.stack.servers import running_servers
from apps.stack.trouble import CannotStart, NotReady
from tests.live import LiveServer
from tests.ports import free


def _json_at(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


async def test_all_three_servers_answer_inside_the_block_and_are_gone_after_it(tmp_path: Path) -> None:
    ports = free(ServerPorts)
    async with running_servers(tmp_path / "with space", ports) as running:
        client = await nats.connect(running.nats_url)
        await client.jetstream().add_stream(name="T", subjects=["t"])
        await client.close()
        with redis.Redis.from_url(running.valkey_url) as valkey:
            assert valkey.ping()
        assert b'"dataset":[[1]]' in http_answers(ports.questdb_http, "/exec?query=select%201")
    check_free({"nats": ports.nats, "valkey": ports.valkey, "questdb": ports.questdb_http})


def test_the_journal_s_server_syncs_before_it_acknowledges(nats_server: LiveServer) -> None:
    found = _json_at(f"{nats_server.monitor_url}/varz")
    assert found["jetstream"]["config"]["sync_always"] is True  # type: ignore[index]
    assert found["host"] == "127.0.0.1"
    assert tuple(map(int, str(found["version"]).split("."))) >= servers.NATS_VERSION_MIN


def test_valkey_never_evicts_and_keeps_a_log(valkey_server: LiveServer) -> None:
    # FAILURES 20
    with redis.Redis.from_url(valkey_server.url, decode_responses=True) as valkey:
        found = valkey.config_get("maxmemory-policy", "appendonly", "appendfsync", "databases", "bind")
    assert found == {
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "databases": "16",
        "bind": "127.0.0.1",
    }


def test_questdb_keeps_its_tables_over_a_kill(fresh_questdb: LiveServer) -> None:
    def ask(query: str) -> dict[str, object]:
        return _json_at(f"{fresh_questdb.url}/exec?query={quote(query)}")

    ask("CREATE TABLE kept (n INT)")
    ask("INSERT INTO kept VALUES (7)")
    fresh_questdb.restart()
    assert ask("SELECT n FROM kept")["dataset"] == [[7]]


async def test_a_killed_nats_comes_back_with_what_it_acknowledged(fresh_nats: LiveServer) -> None:
    before = await nats.connect(fresh_nats.url)
    await before.jetstream().add_stream(name="T", subjects=["t"])
    await before.jetstream().publish("t", b"kept")
    await before.close()
    fresh_nats.restart()
    after = await nats.connect(fresh_nats.url)
    kept = await after.jetstream().get_msg("T", seq=1)
    await after.close()
    assert kept.data == b"kept"


def test_a_frozen_server_is_not_taken_for_a_ready_one(fresh_valkey: LiveServer) -> None:
    # FAILURES 22: it still accepts connections, and says nothing
    fresh_valkey.freeze()
    with pytest.raises(NotReady):
        fresh_valkey.program.probe()
    fresh_valkey.thaw()
    fresh_valkey.program.probe()


async def test_a_server_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    program = servers.valkey(tmp_path, free(ServerPorts))
    (tmp_path / "valkey" / "valkey.conf").write_text("no-such-setting yes\n")
    process = await Process.start(program, tmp_path / "valkey.out")
    with pytest.raises(CannotStart, match=r"valkey ended \(exit code 1\) before it was ready(.|\n)*no-such-setting"):
        await process.answers()


async def test_a_program_that_never_answers_is_named_with_how_long_it_was_silent(tmp_path: Path) -> None:
    def probe() -> None:
        raise NotReady("silence")

    sleeper = Program("mute", "server", ("sleep", "60"), probe, {}, silence_max_s=0.2)
    process = await Process.start(sleeper, tmp_path / "mute.out")
    try:
        with pytest.raises(CannotStart, match=r"mute is not ready and shows no progress for 0\.2 s: silence") as trouble:
            await process.answers()
        assert trouble.value.exit_code == Exit.UNREACHABLE
    finally:
        await stop_all([process], within_s=2)
    assert process.ended


def test_a_missing_binary_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CannotStart, match="nats-server is missing"):
        servers.nats(tmp_path, free(ServerPorts))


def test_an_old_nats_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.14.9\n")
    old.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CannotStart, match=r"v2\.14\.9, but the journal needs nats-server 2\.15\.1"):
        servers.nats(tmp_path, free(ServerPorts))


def test_without_network_the_jar_s_absence_offers_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # no server there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(CannotStart, match="could not be fetched") as trouble:
        questdb_jar.fetch()
    assert "--fills sqlite" in str(trouble.value)


def test_a_half_written_jar_counts_as_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    place = tmp_path / "org" / "questdb" / "questdb" / questdb_jar.VERSION
    place.mkdir(parents=True)
    (place / f"questdb-{questdb_jar.VERSION}.jar").write_bytes(b"half")
    assert questdb_jar.JAR.cached() is None


@pytest.mark.parametrize("niceness", [-10, 5])
async def test_a_program_goes_first_or_gives_way_as_far_as_the_system_lets_it(tmp_path: Path, niceness: int) -> None:
    program = Program("nice", "server", (sys.executable, "-c", "import os; print(os.nice(0))"), lambda: None, {}, niceness=niceness)
    process = await Process.start(program, tmp_path / "out")
    assert await process.wait() == 0, "not to be allowed is no reason not to start"
    assert int((tmp_path / "out").read_text()) - os.nice(0) in {niceness, max(niceness, 0)}
