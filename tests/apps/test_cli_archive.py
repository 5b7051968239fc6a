"""`trade verify --archive` and `trade restore --from-archive`, where no stack runs: addresses, keys, exit codes."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from apps.cli.main import app
from apps.runtime.exit_codes import Exit
from config.s3 import s3_access
from config.text import ConfigError
from tests.archived import archive, objects_in, orders


@pytest.fixture
def url(tmp_path: Path) -> str:
    directory = tmp_path / "archive"
    asyncio.run(archive(objects_in(directory), orders(12)))
    return f"file://{directory}"


def trade(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


def test_a_good_archive(url: str, tmp_path: Path) -> None:
    said = trade("verify", "--archive", url, "--data-dir", str(tmp_path))
    assert (said.exit_code, said.stdout.splitlines()[0]) == (Exit.DONE, "archive      OK: streams 1, objects 2, replaced 0, messages 12")
    of_environment = trade("verify", "--archive", "--json", TRADE_ARCHIVE_URL=url)
    report = json.loads(of_environment.stdout)
    assert (of_environment.exit_code, report["ok"], [check["name"] for check in report["checks"]]) == (
        Exit.DONE,
        True,
        ["archive", "events", "journal", "orders"],
    )


def test_a_damaged_archive_ends_with_the_object_and_a_remedy(url: str, tmp_path: Path) -> None:
    (damaged,) = (tmp_path / "archive").glob("commits/*/n=000000010-*")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    said = trade("verify", "--archive", url)
    assert said.exit_code == Exit.REFUSED
    assert f"commits/stream=OMS_JOURNAL/{damaged.name}" in said.stderr
    assert "docs/archive.md, Repair" in said.stderr


def test_a_strange_name_is_named(url: str, tmp_path: Path) -> None:
    (strange,) = (folder / ".DS_Store" for folder in (tmp_path / "archive").glob("commits/*"))
    strange.touch()
    said = trade("verify", "--archive", url)
    assert (said.exit_code, said.exception.__class__) == (Exit.REFUSED, SystemExit)
    assert "commits/stream=OMS_JOURNAL/.DS_Store is no name of an archive's object" in said.stderr


def test_no_archive_there(tmp_path: Path) -> None:
    said = trade("verify", "--archive", f"file://{tmp_path}/nothing")
    assert (said.exit_code, said.stdout) == (Exit.UNREACHABLE, "")
    assert "the directory does not exist" in said.stderr
    assert not (tmp_path / "nothing").exists(), "a command that reads creates nothing"
    (tmp_path / "empty").mkdir()
    assert "there is no archive of an order journal" in trade("verify", "--archive", f"file://{tmp_path}/empty").stderr
    away = trade("verify", "--archive", "s3://trade/archive", TRADE_S3_URL="http://127.0.0.1:1")
    assert away.exit_code == Exit.UNREACHABLE, away.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "s3://trade/archive"), "An address is only read with --archive"),
        (("verify", "--archive", "/backups"), "'/backups' is no address of an archive"),
        (("verify", "--archive", "s3://trade/archive"), "TRADE_S3_URL does not name the server of s3://trade/archive"),
        (("verify", "--archive", "file:///"), "'file:///' is no address of an archive"),
        (("restore",), "Name the file of a backup, or an archive"),
        (("restore", __file__, "--from-archive", "file:///x"), "Name the file of a backup, or an archive"),
        (("restore", __file__, "--commits-only"), "--commits-only is for an archive"),
        (("restore", "--from-archive", "https://example.com/x", "--port-offset", "0"), "is no address of an archive"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    found = trade(*arguments)
    assert (found.exit_code, found.stdout) == (Exit.USAGE, "")
    assert said in found.stderr


def test_half_a_pair_of_keys_is_named_with_where_keys_come_from() -> None:
    said = trade("verify", "--archive", "s3://trade/archive", TRADE_S3_ACCESS_KEY="key")
    assert (said.exit_code, said.stderr.splitlines()) == (
        Exit.USAGE,
        [
            "TRADE_S3_ACCESS_KEY and TRADE_S3_SECRET_KEY: set both, or neither.",
            "The keys of the archive's server: docs/archive.md, Addresses and credentials.",
        ],
    )


def test_keys_come_from_the_environment_or_from_the_secrets(tmp_path: Path) -> None:
    assert s3_access({}) == ("", None)
    for name, text in (("s3_access_key", "key\n"), ("s3_secret_key", "secret\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    assert s3_access({}, endpoint="http://127.0.0.1:8333", directory=tmp_path) == ("http://127.0.0.1:8333", ("key", "secret"))
    named = {"TRADE_SECRETS_DIR": str(tmp_path), "TRADE_S3_URL": "http://127.0.0.1:1"}
    assert s3_access(named) == ("http://127.0.0.1:1", ("key", "secret"))
    assert s3_access(named | {"TRADE_S3_ACCESS_KEY": "k", "TRADE_S3_SECRET_KEY": "s"}).keys == ("k", "s")


def test_half_a_pair_and_a_readable_secret_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set both, or neither"):
        s3_access({"TRADE_S3_ACCESS_KEY": "k"})
    file = tmp_path / "s3_access_key"
    file.write_text("key")
    with pytest.raises(ConfigError, match="one is missing"):
        s3_access({}, directory=tmp_path)
    (tmp_path / "s3_secret_key").write_text("")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        s3_access({}, directory=tmp_path)
    file.chmod(0o600)
    (tmp_path / "s3_secret_key").chmod(0o600)
    with pytest.raises(ConfigError, match="is empty"):
        s3_access({}, directory=tmp_path)
