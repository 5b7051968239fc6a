"""`trade` as a process: exit codes, the terminal, the pipe, Ctrl-C, and what it says without a system."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from apps.cli.main import app
from tests.apps.fake_oms import FakeOms, fake_oms
from tests.children import started

NOWHERE: Final = "http://127.0.0.1:1"


@pytest.fixture
def oms(door: FakeOms) -> FakeOms:
    return door


def trade(words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(app, words)


def process(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "apps.cli", *words.split()]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False)


# The ways to end


def test_done_is_0(oms: FakeOms) -> None:
    oms.says("GET", "/positions/alice", {"BTCUSDT": {"quantity": 1}})
    ended = process("positions alice", TRADE_OMS_URL=oms.url)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_refused_is_1(oms: FakeOms) -> None:
    oms.refuses("GET", "/orders/a-1", 404, "order_not_found", "there is no such order")
    ended = process("order show a-1", TRADE_OMS_URL=oms.url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == ["there is no such order (order_not_found).", "Find it: trade order list"]


@pytest.mark.parametrize("words", ["nonsense", "order nonsense", "order list --limit many", "positions", "diagram --format gif"])
def test_wrong_usage_is_2_a_sentence_and_where_to_read_more(words: str) -> None:
    ended = trade(words)
    assert ended.exit_code == 2
    sentence, what_next = ended.stderr.splitlines()
    assert sentence
    assert what_next.startswith("See: ")
    assert what_next.endswith(" --help")


def test_no_server_is_exit_code_3_without_a_traceback() -> None:
    ended = process("order list", TRADE_OMS_URL=NOWHERE)
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.parametrize("url", ["nonsense", "http://[", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_an_invalid_address_is_no_traceback(url: str) -> None:
    ended = trade("order list", TRADE_OMS_URL=url)
    assert ended.exit_code in (2, 3)
    assert len(ended.stderr.splitlines()) == 2


def test_a_reader_that_leaves_early_is_not_logged(oms: FakeOms) -> None:
    oms.says("GET", "/orders", {"orders": [{"order_id": "x" * 1000}] * 1000, "next": None})
    command = f"{sys.executable} -m apps.cli order list --all | head -n 1"
    ended = subprocess.run(
        ["sh", "-c", command], env={**os.environ, "TRADE_OMS_URL": oms.url}, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.stderr == ""


def test_help_names_every_command_and_the_exit_codes() -> None:
    said = trade("--help", COLUMNS="120").stdout
    for command in ("up", "status", "version", "order", "positions", "fills", "watch", "replay", "diagram"):
        assert f"│ {command} " in said
    assert "Exit codes: 0 done, 1 refused or different, 2 wrong usage, 3 cannot reach the system." in said


@pytest.mark.parametrize(
    "command", ["up", "status", "order submit", "order list", "order cancel", "positions", "watch", "replay positions"]
)
def test_every_command_has_a_help(command: str) -> None:
    assert trade(f"{command} --help").exit_code == 0


def test_version_is_that_of_the_package() -> None:
    assert trade("version").stdout.startswith("trade ")


# The terminal


def at_a_terminal(words: str, columns: int, command: list[str] | None = None, **environment: str) -> str:
    """What a person sees in a window of this many columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment}
    command = command or [sys.executable, "-m", "apps.cli", *words.split()]
    with started(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as child:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 120)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            seen += piece
        child.wait(120)
    os.close(ours)
    return seen.decode()


def test_at_a_terminal_a_table_has_colours_and_still_every_character(oms: FakeOms) -> None:
    order = {"order_id": "0123456789abcdef" * 2, "account": "a" * 64, "symbol": "BTCUSDT", "status": "partially_filled", "price": 45000}
    oms.says("GET", "/orders", {"orders": [order], "next": "7"})
    seen = at_a_terminal("order list --limit 1", 60, TRADE_OMS_URL=oms.url)
    assert "\x1b[" in seen
    assert "--cursor 7" in seen
    for value in order.values():
        assert str(value) in seen


def test_at_a_terminal_of_ascii_what_it_lacks_is_replaced_and_boxes_are_drawn_otherwise(oms: FakeOms) -> None:
    order = {"order_id": "a-1", "account": "alice", "symbol": "BRK.B", "status": "rejected", "reason": "Störung"}
    oms.says("GET", "/orders/a-1", order)
    oms.says("GET", "/orders", {"orders": [order], "next": None})
    for words in ("order list", "order show a-1", "--help"):
        seen = at_a_terminal(words, 100, TRADE_OMS_URL=oms.url, PYTHONIOENCODING="ascii")
        assert seen.isascii(), words
        assert "Traceback" not in seen
    assert "St?rung" in at_a_terminal("order show a-1", 100, TRADE_OMS_URL=oms.url, PYTHONIOENCODING="ascii")


def test_at_a_terminal_of_ascii_progress_is_a_bar_of_ascii() -> None:
    code = "from apps.cli.progress import progress_of as p\nwith p(9) as told:\n    told(4)\n    told(9)"
    seen = at_a_terminal("", 100, command=[sys.executable, "-c", code], PYTHONIOENCODING="ascii")
    assert seen.isascii()
    assert "reading the journal" in seen


def test_at_a_terminal_a_story_is_folded_into_the_window(oms: FakeOms) -> None:
    event = {"seq": 1, "at": "2026-01-31T12:00:00.000001Z", "type": "OrderCancelled", "status": "cancelled", "source": "venue"}
    words = [f"word{number}" for number in range(50)]
    oms.says("GET", "/orders/a-1/events", {"events": [{**event, "reason": " ".join(words)}]})
    seen = at_a_terminal("order events a-1", 100, TRADE_OMS_URL=oms.url)
    assert all(word in seen for word in words)
    assert "12:00:00.000001" in seen
    assert "2026-01-31" in seen
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in seen.splitlines()) <= 100


def test_a_png_is_not_poured_over_a_terminal() -> None:
    assert "A PNG cannot be printed to a terminal." in at_a_terminal("diagram --format png", 80)


# Accounts


def test_positions_are_a_table_of_exact_numbers(oms: FakeOms) -> None:
    held = b'{"BTCUSDT":{"quantity":0.100000000000000001,"average_price":45000.10,"realised_pnl":-1.5,"currency":"USDT"},'
    held += b'"AAPL":{"quantity":-3}}'
    oms.says("GET", "/positions/alice", held, headers={"as-of-seq": "812"})
    ended = trade("positions alice --min-seq 7", TRADE_OMS_URL=oms.url)
    assert oms.asked[0].query == {"min_seq": "7"}
    assert [line.split() for line in ended.stdout.splitlines()] == [
        ["symbol", "quantity", "average_price", "last_price", "realised_pnl", "unrealised_pnl", "fees", "currency"],
        ["BTCUSDT", "0.100000000000000001", "45000.1", "-", "-1.5", "-", "-", "USDT"],
        ["AAPL", "-3", "-", "-", "-", "-", "-", "-"],
    ]
    assert trade("positions alice --json", TRADE_OMS_URL=oms.url).stdout_bytes == held + b"\n"


def test_fills_carry_their_filters_from_page_to_page(oms: FakeOms) -> None:
    row = {"timestamp": "2026-01-31T12:00:00.000001Z", "symbol": "BTCUSDT", "quantity": 0.1, "seq": 3}
    oms.says("GET", "/fills/alice", {"fills": [row], "next": "WzFd"})
    oms.says("GET", "/fills/alice", {"fills": [row], "next": "WzJd"})
    ended = trade("fills alice --symbol BTCUSDT --since 2026-01-31 --until 1769990400 --limit 2", TRADE_OMS_URL=oms.url)
    wanted = {"symbol": "BTCUSDT", "since": "2026-01-31", "until": "1769990400"}
    assert [asked.query for asked in oms.asked] == [{**wanted, "limit": "2"}, {**wanted, "limit": "1", "cursor": "WzFd"}]
    assert ended.stdout.splitlines()[1].split()[:4] == ["2026-01-31T12:00:00.000001Z", "BTCUSDT", "-", "0.1"]


def test_all_fills_are_read_to_the_first_one(oms: FakeOms) -> None:
    for page, following in ((3, "a"), (2, "b"), (1, None)):
        oms.says("GET", "/fills/alice", {"fills": [{"seq": page}], "next": following})
    ended = trade("fills alice --all", TRADE_OMS_URL=oms.url)
    assert [line.split()[-1] for line in ended.stdout.splitlines()] == ["seq", "3", "2", "1"]


def test_equity_is_listed_over_the_gaps_between_pages(oms: FakeOms) -> None:
    row = {"timestamp": "2026-01-31T12:00:00.000000Z", "equity": 100000.5, "cash": 90000, "long": 10000.5, "short": 0}
    oms.says("GET", "/equity/alice", {"samples": [], "next": "2026-01-31T13:00:00.000000Z"})
    oms.says("GET", "/equity/alice", {"samples": [row], "next": None})
    ended = trade("equity alice --interval 1h", TRADE_OMS_URL=oms.url)
    assert oms.asked[1].query == {"interval": "1h", "limit": "50", "cursor": "2026-01-31T13:00:00.000000Z"}
    assert [line.split() for line in ended.stdout.splitlines()] == [
        ["timestamp", "equity", "cash", "long", "short"],
        ["2026-01-31T12:00:00.000000Z", "100000.5", "90000", "10000.5", "0"],
    ]


@pytest.mark.parametrize("account", ["..", "a/b", "a.b", "*", "x" * 65])  # FAILURES 61
def test_an_account_that_could_be_more_than_itself_is_wrong_usage(account: str) -> None:
    for command in (
        f"positions {account}",
        f"fills {account}",
        f"equity {account}",
        f"watch --account {account}",
        f"replay positions --account {account}",
    ):
        assert trade(command).exit_code == 2


# The machine, drawn


@pytest.mark.parametrize(
    ("form", "begins"), [("mermaid", b"stateDiagram-v2"), ("dot", b"digraph"), ("svg", b"<svg"), ("png", b"\x89PNG\r\n\x1a\n")]
)
def test_the_machine_is_drawn_in_every_format_to_a_file(tmp_path: Path, form: str, begins: bytes) -> None:
    file = tmp_path / f"life.{form}"
    ended = trade(f"diagram --format {form} -o {file}")
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert file.read_bytes().startswith(begins)
    assert trade(f"diagram --format {form}").stdout_bytes == file.read_bytes()


def test_the_name_of_the_file_says_the_format_unless_it_is_said(tmp_path: Path) -> None:
    trade(f"diagram -o {tmp_path}/life.svg")
    trade(f"diagram --format dot -o {tmp_path}/life.txt")
    trade(f"diagram -o {tmp_path}/life.mmd")
    begins = {file.name: file.read_bytes()[:4] for file in tmp_path.iterdir()}
    assert begins == {"life.svg": b"<svg", "life.txt": b"digr", "life.mmd": b"stat"}


def test_live_counts_come_from_oms_as_they_are(oms: FakeOms) -> None:
    oms.says("GET", "/diagram", b"stateDiagram-v2\n  queued (3)\n")
    ended = trade("diagram --counts", TRADE_OMS_URL=oms.url)
    assert oms.asked[0].query == {"format": "mermaid", "counts": "1"}
    assert ended.stdout_bytes == b"stateDiagram-v2\n  queued (3)\n"


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    ended = trade(f"diagram -o {tmp_path}/no/such/directory.mmd")
    assert ended.exit_code == 1
    assert "cannot be written" in ended.stderr


# Up


def test_up_passes_every_choice_on_and_ends_with_its_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen: dict[str, object] = {}

    def up(**choices: object) -> int:
        chosen.update(choices)
        return 3

    monkeypatch.setattr("apps.stack.command.up", up)
    words = f"up --data-dir {tmp_path} --port-offset 100 --fresh --yes --fills sqlite --quotes q.csv --quotes-speed max --columns time=ts"
    words += " --only-servers --no-guests --no-desk --topology services --access keys --market config --with s3,search --shards 4"
    assert trade(words).exit_code == 3
    assert chosen == {
        "data_dir": tmp_path,
        "port_offset": 100,
        "fresh": True,
        "yes": True,
        "fills": "sqlite",
        "quotes": Path("q.csv"),
        "quotes_speed": "max",
        "quotes_columns": "time=ts",
        "config_dir": None,
        "only_servers": True,
        "guests": False,
        "topology": "services",
        "access": "keys",
        "desk": False,
        "market": "config",
        "extras": "s3,search",
        "shards": 4,
    }


@pytest.mark.parametrize(("variable", "mode"), [("keys", "keys"), ("open", "open"), ("", "")])
def test_up_takes_the_mode_of_access_from_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str, mode: str) -> None:
    chosen: dict[str, object] = {}

    def up(**choices: object) -> int:
        chosen.update(choices)
        return 0

    monkeypatch.setattr("apps.stack.command.up", up)
    assert trade("up", TRADE_ACCESS=variable).exit_code == 0
    assert chosen["access"] == mode


def test_ctrl_c_is_quiet() -> None:
    with fake_oms() as slow:
        slow.refuses("POST", "/orders", 503, "starting", "oms is starting")
        command = [sys.executable, "-m", "apps.cli", "order", "submit", "buy", "1", "BTCUSDT", "--retry-for", "60"]
        with started(
            command, env={**os.environ, "TRADE_OMS_URL": slow.url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr
            assert "Retrying" in child.stderr.readline()
            child.send_signal(signal.SIGINT)
            _, rest = child.communicate(timeout=120)
        assert child.returncode == 130
        assert "Traceback" not in rest
