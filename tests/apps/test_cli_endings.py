"""Every command of `trade` ends with a sentence: with a wrong catalogue, without its file, on a terminal that knows only ASCII."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from apps.cli import connection
from apps.cli.main import app
from tests.apps.fake_oms import fake_oms

NOWHERE = {f"TRADE_{name}_URL": "http://127.0.0.1:1" for name in ("OMS", "RISK", "EXEQ", "GATEWAY", "PROJECTOR", "QUESTDB_HTTP")} | {
    "TRADE_NATS_URL": "nats://127.0.0.1:1",
    "TRADE_VALKEY_URL": "redis://127.0.0.1:1",
    "TRADE_QUESTDB_PG_URL": "postgresql://127.0.0.1:1/qdb",
}
# What each required argument and option may be; a command with a new one fails here until it is added.
GIVEN = {
    "account": "alice",
    "scope": "account:alice",
    "reason": "Störung ┃",
    "order_id": "o-1",
    "outcome": "not_there",
    "symbol": "BRK.B",
    "sequences": "1",
    "scopes": "trade,read",
    "key_id": "PKABCDEFGHIJKLMNOP23",
    "rate": "10",
    "burst": "20",
    "words": "alice",
    "sql": "SELECT 1",
    "output": "day.csv",
    "list_id": "l-1",
    "algo_id": "a-1",
    "venue": "KRAKEN",
    "begin": "2026-11-27T12:00:00Z",
    "end": "2026-11-27T13:00:00Z",
}
ENDLESS = {"up": ["--quotes", "gone.csv"]}
"""What makes a command that would run until Ctrl-C end by itself."""
CATALOGUES = {
    "a wrong key": "currencies: {USD: 1}\ngroups:\n  - {symbols: [NO], tik: 0.01}\n",
    "a word that YAML reads as false": (
        "currencies: {USD: 1}\ngroups:\n  - {symbols: [NO], tick: 1, lot: 1, quantity_max: 1, notional_min: 1, currency: USD}\n"
    ),
    "no YAML": "{[",
    "bytes": "\x00\x01",
    "a missing file": None,
}


@pytest.fixture(autouse=True)
def _no_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.1)


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))
READERS = {("prices", "load"), ("reconcile",)}
"""The commands that read the catalogue themselves: each way to be wrong is tried on them."""
every_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def words_of(path: tuple[str, ...], file: Path) -> list[str]:
    words = [*path, *ENDLESS.get(path[0], ())]
    for parameter in COMMANDS[path].params:
        if parameter.required:
            value = str(file) if parameter.name == "file" else GIVEN[parameter.name]
            words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return words


def ended(words: list[str], *, charset: str = "utf-8", **environment: str) -> Result:
    return CliRunner(charset=charset, env=NOWHERE | environment).invoke(app, words)


def assert_a_sentence(result: Result) -> None:
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    assert result.exit_code in (0, 1, 2, 3)
    assert result.exit_code == 0 or result.stderr.strip()
    assert "Traceback" not in result.output


EVERY_WRONG = [(path, wrong) for path in COMMANDS for wrong in CATALOGUES if path in READERS or wrong == "a missing file"]


@pytest.mark.parametrize(("path", "wrong"), EVERY_WRONG, ids=str)
def test_a_wrong_catalogue_is_a_sentence(path: tuple[str, ...], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    catalogue, content = tmp_path / "instruments.yaml", CATALOGUES[wrong]
    if content is not None:
        catalogue.write_text(content)
    (tmp_path / "file.csv").write_text("date,symbol,close\n2026-01-05,AAPL,270.12\n")
    result = ended(words_of(path, tmp_path / "file.csv"), TRADE_INSTRUMENTS=str(catalogue))
    assert_a_sentence(result)
    if path in READERS:
        assert (result.exit_code, "instruments.yaml: " in result.stderr) == (2, True)


@every_command
def test_a_missing_file_on_a_terminal_of_ascii_is_a_sentence(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_a_sentence(ended(words_of(path, tmp_path / "schön" / "gone.csv"), charset="ascii"))


@every_command
def test_help_can_be_written_in_ascii(path: tuple[str, ...]) -> None:
    result = ended([*path, "--help"], charset="ascii")
    assert result.exit_code == 0
    assert result.stdout.isascii()


def test_a_wrong_catalogue_names_its_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "closes.csv").write_text("date,symbol,close\n2026-01-05,AAPL,270.12\n")
    (tmp_path / "bad.yaml").write_text(str(CATALOGUES["a word that YAML reads as false"]))
    result = ended(["prices", "load", str(tmp_path / "closes.csv")], TRADE_INSTRUMENTS=str(tmp_path / "bad.yaml"))
    assert result.exit_code == 2
    assert f"{tmp_path / 'bad.yaml'}: groups.0.symbols.0: " in result.stderr
    assert "TRADE_INSTRUMENTS" in result.stderr


def test_a_reason_with_an_umlaut_is_shown_as_far_as_the_terminal_can() -> None:
    with fake_oms() as risk:
        kill = {"type": "KillActivated", "version": 1, "at": "2026-11-22T20:03:34.673824Z", "who": "eve", "reason": "Störung"}
        risk.says("GET", "/risk/controls/history", {"controls": [{**kill, "scope": "all"}]})
        result = ended(["risk", "history"], charset="ascii", TRADE_RISK_URL=risk.url)
    assert result.exit_code == 0, result.stderr
    assert "St?rung" in result.stdout
