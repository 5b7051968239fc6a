"""`trade` as a process: exit codes, the terminal, the pipe, Ctrl-C, and what it says without a system."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import structlog
from typer.testing import CliRunner, Result

from apps.cli.addresses import find
from apps.cli.main import app
from apps.cli.trouble import Unreachable, WrongUsage
from apps.up import stack
from tests.apps.fake_oms import FakeOms, fake_oms
from tests.live import LiveServer

NOWHERE: Final = "http://127.0.0.1:1"
SERVICES: Final = ("OMS", "RISK", "EXEQ", "GATEWAY", "PROJECTOR")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process, which here is ours."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOms]:
    with fake_oms() as fake:
        yield fake


@pytest.fixture
def oms(server: FakeOms) -> FakeOms:
    server.asked.clear()
    server.answers.clear()
    return server


def trade(words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(app, words)


def process(words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "apps.cli", *words.split()]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False)


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


def test_nobody_there_is_3_without_a_traceback() -> None:
    ended = process("order list", TRADE_OMS_URL=NOWHERE)
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.parametrize("url", ["nonsense", "http://[", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_an_address_that_is_none_is_no_traceback(url: str) -> None:
    ended = trade("order list", TRADE_OMS_URL=url)
    assert ended.exit_code in (2, 3)
    assert len(ended.stderr.splitlines()) == 2


def test_a_reader_that_leaves_early_is_not_worth_a_word(oms: FakeOms) -> None:
    oms.says("GET", "/orders", {"orders": [{"order_id": "x" * 1000}] * 1000, "next": None})
    command = f"{sys.executable} -m apps.cli order list --all | head -n 1"
    ended = subprocess.run(
        ["sh", "-c", command], env={**os.environ, "TRADE_OMS_URL": oms.url}, capture_output=True, text=True, timeout=30, check=False
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


def at_a_terminal(words: str, columns: int, **environment: str) -> str:
    """What a person sees in a window of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-m", "apps.cli", *words.split()]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as child:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 20)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            seen += piece
        child.wait(10)
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
    assert "A PNG is not for a terminal." in at_a_terminal("diagram --format png", 80)


# Accounts


def test_positions_are_a_table_of_exact_numbers(oms: FakeOms) -> None:
    held = b'{"BTCUSDT":{"quantity":0.100000000000000001,"average_price":45000.10,"realised_pnl":-1.5},"AAPL":{"quantity":-3}}'
    oms.says("GET", "/positions/alice", held, headers={"as-of-seq": "812"})
    ended = trade("positions alice --min-seq 7", TRADE_OMS_URL=oms.url)
    assert oms.asked[0].query == {"min_seq": "7"}
    assert [line.split() for line in ended.stdout.splitlines()] == [
        ["symbol", "quantity", "average_price", "last_price", "realised_pnl", "unrealised_pnl", "fees"],
        ["BTCUSDT", "0.100000000000000001", "45000.1", "-", "-1.5", "-", "-"],
        ["AAPL", "-3", "-", "-", "-", "-", "-"],
    ]
    assert trade("positions alice --json", TRADE_OMS_URL=oms.url).stdout_bytes == held + b"\n"


def test_fills_carry_their_filters(oms: FakeOms) -> None:
    oms.says(
        "GET", "/fills/alice", {"fills": [{"timestamp": "2026-01-31T12:00:00.000001Z", "symbol": "BTCUSDT", "quantity": 0.1, "seq": 3}]}
    )
    ended = trade("fills alice --symbol BTCUSDT --since 2026-01-31T00:00:00Z --limit 5", TRADE_OMS_URL=oms.url)
    assert oms.asked[0].query == {"symbol": "BTCUSDT", "since": "2026-01-31T00:00:00Z", "limit": "5"}
    assert ended.stdout.splitlines()[1].split()[:4] == ["2026-01-31T12:00:00.000001Z", "BTCUSDT", "-", "0.1"]


@pytest.mark.parametrize("account", ["..", "a/b", "a.b", "*", "x" * 65])  # FAILURES 61
def test_an_account_that_could_be_more_than_itself_is_wrong_usage(account: str) -> None:
    for command in (f"positions {account}", f"fills {account}", f"watch --account {account}", f"replay positions --account {account}"):
        assert trade(command).exit_code == 2


# Status


def well(oms: FakeOms) -> None:
    oms.says("GET", "/health", {"status": "healthy"})
    oms.says("GET", "/ready", {"status": "ready"})
    oms.says("GET", "/stats", {"seq": 812, "lag": 0})
    oms.says("GET", "/exec", {"dataset": [[1]]})
    oms.says("GET", "/healthz", {"status": "ok"})


def everywhere(oms: FakeOms, valkey: str) -> Mapping[str, str]:
    """All services and HTTP servers are the fake; NATS's monitor is found by its distance from NATS's port."""
    port = int(oms.url.rpartition(":")[2])
    urls = {f"TRADE_{name}_URL": oms.url for name in SERVICES}
    return {**urls, "TRADE_QUESTDB_HTTP_URL": oms.url, "TRADE_NATS_URL": f"nats://127.0.0.1:{port - 4000}", "TRADE_VALKEY_URL": valkey}


def test_all_well_is_0_and_a_row_each(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    ended = trade("status", **everywhere(oms, valkey_server.url))
    assert (ended.exit_code, ended.stderr) == (0, "")
    rows = [line.split()[:5] for line in ended.stdout.splitlines()[1:]]
    assert rows[:3] == [[name, "yes", "yes", "-", "-"] for name in ("nats", "valkey", "questdb")]
    assert rows[3:] == [[name, "yes", "yes", "0", "812"] for name in ("oms", "risk", "exeq", "live-gateway", "projector")]


def test_one_that_is_not_ready_is_1_with_its_reason(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    oms.answers[("GET", "/ready")].clear()
    oms.says("GET", "/ready", {"status": "not_ready", "reason": "journal: catching up"}, 503)
    ended = trade("status", **{**everywhere(oms, valkey_server.url), "TRADE_RISK_URL": NOWHERE})
    assert ended.exit_code == 1
    assert ended.stderr.splitlines()[0] == "Not ready: oms, risk, exeq, live-gateway, projector."
    notes = {line.split()[0]: line for line in ended.stdout.splitlines()}
    assert "503: journal: catching up" in notes["oms"]
    assert "does not answer" in notes["risk"]


def test_how_far_one_is_behind_the_journal_follows_from_what_oms_says(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    oms.answers[("GET", "/stats")].clear()
    oms.says("GET", "/stats", {"seq": 812})
    with fake_oms() as risk:
        well(risk)
        risk.answers[("GET", "/stats")].clear()
        risk.says("GET", "/stats", {"as_of_seq": 800})
        ended = trade("status", **{**everywhere(oms, valkey_server.url), "TRADE_RISK_URL": risk.url})
    rows = {line.split()[0]: line.split()[3:5] for line in ended.stdout.splitlines()}
    assert (rows["oms"], rows["risk"]) == (["0", "812"], ["12", "800"])


def test_of_two_projections_the_slower_one_counts(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    oms.answers[("GET", "/stats")].clear()
    oms.says("GET", "/stats", {"positions": {"seq": 812, "lag_commits": 0}, "fills": {"seq": 800, "lag_commits": 12}})
    ended = trade("status --json", **everywhere(oms, valkey_server.url))
    projector = json.loads(ended.stdout)["services"][-1]
    assert (projector["name"], projector["lag"], projector["seq"]) == ("projector", 12, 800)


def test_nothing_at_all_is_3() -> None:
    urls = {f"TRADE_{name}_URL": NOWHERE for name in SERVICES}
    ended = trade(
        "status", **urls, TRADE_NATS_URL="nats://127.0.0.1:1", TRADE_VALKEY_URL="redis://127.0.0.1:1", TRADE_QUESTDB_HTTP_URL=NOWHERE
    )
    assert ended.exit_code == 3
    assert ended.stderr.splitlines()[0] == "Nothing answers."


def test_a_stack_without_questdb_is_not_asked_for_it(oms: FakeOms, valkey_server: LiveServer) -> None:
    well(oms)
    ended = trade("status", **everywhere(oms, valkey_server.url), TRADE_FILLS="sqlite")
    assert ended.exit_code == 0
    assert "questdb" not in ended.stdout


# Addresses


def written(data_dir: Path) -> stack.Stack:
    process_state = stack.ProcessState(name="nats", kind="server", ports={"nats": 5222, "monitor": 9999}, log="", starts=3)
    urls = {"nats": "nats://127.0.0.1:5222", "valkey": "redis://127.0.0.1:7379", "oms": "http://127.0.0.1:9099"}
    running = stack.Stack(
        pid=1, started_at=0.0, data_dir=str(data_dir), port_offset=1000, fills="sqlite", urls=urls, processes=[process_state]
    )
    stack.write(data_dir, running)
    return running


def test_the_usual_ports_shift_together() -> None:
    addresses = find(None, 100, {"TRADE_OMS_URL": NOWHERE})
    assert addresses["oms"] == "http://127.0.0.1:8199"
    assert addresses["nats"] == "nats://127.0.0.1:4322"
    assert addresses.nats_monitor == "http://127.0.0.1:8322"


def test_a_running_stack_tells_where_it_is_and_how_often_it_died(tmp_path: Path) -> None:
    running = written(tmp_path)
    addresses = find(tmp_path, None, {"TRADE_OMS_URL": NOWHERE})
    assert addresses.urls == running.urls
    assert addresses.nats_monitor == "http://127.0.0.1:9999"
    assert addresses.restarts == {"nats": 2}
    with pytest.raises(Unreachable, match="runs without exeq"):
        addresses["exeq"]


def test_the_environment_rules_over_a_stack_that_was_not_named(tmp_path: Path) -> None:
    written(tmp_path)
    addresses = find(None, None, {"TRADE_DATA_DIR": str(tmp_path), "TRADE_OMS_URL": "http://oms:8099/"})
    assert addresses["oms"] == "http://oms:8099"
    assert addresses["valkey"] == "redis://127.0.0.1:7379"


def test_a_directory_from_which_nothing_runs_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No stack runs from"):
        find(tmp_path, None, {})


def test_a_nats_address_that_is_none_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="TRADE_NATS_URL"):
        find(None, None, {"TRADE_NATS_URL": "nats://127.0.0.1:x"})


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

    monkeypatch.setattr("apps.up.command.up", up)
    words = f"up --data-dir {tmp_path} --port-offset 100 --fresh --yes --fills sqlite --quotes q.csv --quotes-speed max --only-servers"
    assert trade(words).exit_code == 3
    assert chosen == {
        "data_dir": tmp_path,
        "port_offset": 100,
        "fresh": True,
        "yes": True,
        "fills": "sqlite",
        "quotes": Path("q.csv"),
        "quotes_speed": "max",
        "config_dir": None,
        "only_servers": True,
    }


def test_ctrl_c_is_quiet() -> None:
    with fake_oms() as slow:
        slow.refuses("POST", "/orders", 503, "starting", "oms is starting")
        command = [sys.executable, "-m", "apps.cli", "order", "submit", "buy", "1", "BTCUSDT", "--retry-for", "60"]
        with subprocess.Popen(
            command, env={**os.environ, "TRADE_OMS_URL": slow.url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stderr
            assert "Asking again" in child.stderr.readline()
            child.send_signal(signal.SIGINT)
            _, rest = child.communicate(timeout=10)
        assert child.returncode == 130
        assert "Traceback" not in rest
