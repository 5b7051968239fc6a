"""OpenSearch and the S3 server: where they are missing, the command that installs them is named; where not, they start and answer."""

import os
import stat
from pathlib import Path

import httpx
import psutil
import pytest

from apps.stack import analytics, opensearch_server, s3_servers
from apps.stack.maven import Jar, locked
from apps.stack.s3_servers import S3Ports
from apps.stack.trouble import CannotStart
from tests.optional_servers import live_opensearch, live_s3
from tests.ports import free


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv(s3_servers.KEPT_VARIABLE, str(tmp_path / "servers"))
    return tmp_path


def test_each_absent_server_names_the_command_that_installs_it(nothing_installed: Path) -> None:
    with pytest.raises(CannotStart, match=r"OpenSearch 3\.9\.0 is not installed\.\n.*make search"):
        opensearch_server.check()
    with pytest.raises(CannotStart, match=r"No S3 server is installed\.\n.*make s3"):
        s3_servers.installed()
    with pytest.raises(CannotStart, match=r"seaweedfs is not installed: .*\n.*make s3 SERVER=seaweedfs"):
        s3_servers.seaweedfs(nothing_installed, free(S3Ports))


def test_an_absent_engine_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "PACKAGE", "no_such_package")
    with pytest.raises(CannotStart, match=r"chdb\) is not installed\.\n.*make analytics"):
        analytics.check()


def test_every_jar_is_pinned_by_its_hash_and_none_by_an_address() -> None:
    jars = locked(opensearch_server.LOCK)
    assert len(jars) == 80
    assert all(len(jar.sha256) == 64 and set(jar.sha256) <= set("0123456789abcdef") for jar in jars)
    assert "://" not in opensearch_server.LOCK.read_text()
    assert {jar.coordinates for jar in jars} >= set(opensearch_server.ENDPOINT.split("+"))


def test_a_damaged_jar_counts_as_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    jar = Jar("org.example:part:1.0:linux", "0" * 64)
    place = tmp_path / "org" / "example" / "part" / "1.0"
    place.mkdir(parents=True)
    (place / "part-1.0-linux.jar").write_bytes(b"half")
    assert jar.cached() is None


def test_seaweedfs_names_every_port_and_takes_its_keys_from_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(s3_servers.KEPT_VARIABLE, str(tmp_path))
    (tmp_path / "seaweedfs").touch()
    (tmp_path / "s3_access_key").write_text("AK\n")
    (tmp_path / "s3_secret_key").write_text("SK\n")
    ports = S3Ports().shifted(100)
    program = s3_servers.seaweedfs(tmp_path / "data", ports, tmp_path)
    assert {f"-{part}.port={port}" for part, port in program.ports.items()} <= set(program.command)
    assert len({word for word in program.command if ".grpc=" in word}) == 4
    assert '"accessKey": "AK", "secretKey": "SK"' in (tmp_path / "data" / "seaweedfs" / "s3.json").read_text()


def test_the_s3_server_that_is_built_answers_on_this_machine_only() -> None:
    with live_s3() as (server, ports):
        assert httpx.get(f"{ports.url}/").status_code == 403, "no credentials"
        assert {each.laddr.ip for each in psutil.Process(server.pid).net_connections() if each.status == psutil.CONN_LISTEN} == {
            "127.0.0.1"
        }


def test_opensearch_runs_never_as_root_and_opens_nothing_but_its_own_directory() -> None:
    with live_opensearch() as (server, ports):
        assert httpx.get(ports.url).json()["version"]["number"] == opensearch_server.VERSION
        process = psutil.Process(server.pid)
        addresses = {each.laddr.ip.removeprefix("::ffff:") for each in process.net_connections() if each.status == psutil.CONN_LISTEN}
        assert addresses == {"127.0.0.1"}
        assert process.uids().real != 0
        if os.geteuid() == 0:
            assert stat.S_IMODE(server.home.stat().st_mode) == 0o711
            assert stat.S_IMODE((server.home / "opensearch").stat().st_mode) == 0o700
