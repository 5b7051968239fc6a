"""`trade up --market config` and `--with`: which programs run, what they are told, and what the start says."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apps.runtime.exit_codes import Exit
from apps.stack.command import up
from apps.stack.credentials import keys
from apps.stack.directory import begin
from apps.stack.extras import EXTRAS, check_installed, ports_of, programs_of, wanted
from apps.stack.market import CONFIG, SIMULATED, report_venues, venues_of
from apps.stack.ports import MARKET_PORTS, SERVICE_PORTS, ServerPorts
from apps.stack.program import PROJECTION_NICENESS, SINK_NICENESS, Program
from apps.stack.servers import Servers
from apps.stack.services import Choices, services
from apps.stack.trouble import CannotStart
from config.gateway_settings import VENUES
from tests.apps.test_up import command, ready_stack, stop
from tests.stack import free_offset


def programs(choices: Choices) -> dict[str, Program]:
    servers = Servers.at(ServerPorts().shifted(choices.port_offset), market=choices.real_market)
    return {each.name: each for each in services(choices, servers)}


def test_without_options_no_program_and_no_variable_of_the_market_plane_is_added(tmp_path: Path) -> None:
    found = programs(Choices(tmp_path, topology="services"))
    assert set(found) == set(SERVICE_PORTS)
    assert not [name for each in found.values() for name in each.environment if "MARKET" in name]


def test_a_market_of_venues_adds_gateway_normalizer_and_the_sink_of_ticks(tmp_path: Path) -> None:
    found = programs(Choices(tmp_path, 10, market=CONFIG))
    assert set(found) == {"unit", "live-gateway", "projector", "desk", "gateway", "normalizer", "sink-ticks"}
    assert {each.environment["TRADE_MARKET"] for each in found.values()} == {"config"}
    assert {each.environment["TRADE_MARKET_NATS_URL"] for each in found.values()} == {"nats://127.0.0.1:4233"}
    gateway, sink = found["gateway"], found["sink-ticks"]
    assert gateway.command[1:] == ("-m", "apps.gateway")
    assert gateway.ports == {"http": 8090, "metrics": 9090}
    assert gateway.environment["TRADE_GATEWAY_URL"] == "http://127.0.0.1:8115", "that one has always been live-gateway's"
    assert sink.command[1:] == ("-m", "apps.sink")
    assert sink.environment["TRADE_CONFIG"].endswith("config/backend/sink-ticks/config.yaml"), "it says which sink this is"
    assert (gateway.niceness, sink.niceness) == (PROJECTION_NICENESS, SINK_NICENESS), "an order goes first"


def test_without_questdb_there_is_no_sink_of_ticks(tmp_path: Path) -> None:
    assert set(MARKET_PORTS) & set(programs(Choices(tmp_path, fills="sqlite", market=CONFIG))) == {"gateway", "normalizer"}


def test_a_configuration_directory_may_have_a_gateway_and_a_normalizer_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    listed = {name: {"kind": name.lower(), "ws_url": "wss://v", "symbols": ["BTCUSD"]} for name in ("KRAKEN", "COINBASE")}
    (tmp_path / "gateway" / "config.yaml").write_text(yaml.safe_dump({"venues": listed}))
    found = programs(Choices(tmp_path, config_dir=tmp_path, market=CONFIG))
    assert found["gateway"].environment["TRADE_CONFIG"] == str(tmp_path / "gateway" / "config.yaml")
    assert "TRADE_CONFIG" not in found["normalizer"].environment
    assert venues_of(tmp_path) == ["COINBASE", "KRAKEN"]
    (tmp_path / "gateway" / "config.yaml").write_text("raw: {raw_wait_ms: 1}\n")
    assert venues_of(tmp_path) == sorted(VENUES), "those that the gateway then has"
    (tmp_path / "gateway" / "config.yaml").write_text("venues: [")
    assert venues_of(tmp_path) == [], "the gateway itself reports what is wrong with it"
    with pytest.raises(
        CannotStart, match=r"holds no <service>/config\.yaml for any of oms, risk, exeq, live-gateway, projector, desk, nor"
    ):
        programs(Choices(tmp_path, config_dir=tmp_path, market=SIMULATED))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"market": "real"}, "--market must be simulated or config, not real."),
        ({"market": CONFIG, "quotes": Path("quotes.csv")}, "--quotes replays a file in place of the simulated market"),
        ({"extras": "tape"}, f"--with: 'tape' is not one of {', '.join(EXTRAS)}."),
        ({"extras": ","}, "--with: '' is not one of"),
    ],
)
def test_a_wrong_option_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], sentence: str) -> None:
    given: dict[str, Any] = {"quotes": None, "quotes_speed": "", "quotes_columns": "", "config_dir": None, "only_servers": True}
    code = up(tmp_path, 0, False, False, "sqlite", **given | options)
    assert (code, list(tmp_path.iterdir())) == (Exit.USAGE, [])
    assert sentence in capsys.readouterr().err


def test_wrong_keys_of_venues_start_nothing_and_no_new_passwords_are_advised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir, offset = tmp_path / "state", free_offset()
    begin(data_dir)
    keys.init(data_dir / "secrets", guests=True)
    (data_dir / "secrets" / "venue-keys.yaml").touch(0o600)
    (data_dir / "secrets" / "venue-keys.yaml").write_text("ALPACA: canary\n")
    code = up(data_dir, offset, False, False, "sqlite", None, "1", "", None, only_servers=True)
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (Exit.REFUSED, 1)
    assert "venue-keys.yaml: ALPACA: must be a user and a password." in said
    assert "canary" not in said


def test_the_markets_nats_server_joins_the_servers_of_a_directory_that_had_none(tmp_path: Path) -> None:
    """A data directory of a release without it: its passwords are made, and the order journal's server keeps its own store."""
    data_dir, offset = tmp_path / "state", free_offset()
    with command(data_dir, offset) as process:
        assert [each.name for each in ready_stack(data_dir).processes] == ["nats", "valkey"]
        stop(process)
    assert not (data_dir / "market-nats").exists()
    with command(data_dir, offset, "--market", "config") as process:
        found = ready_stack(data_dir)
        assert [each.name for each in found.processes] == ["nats", "valkey", "market-nats"]
        assert found.urls["market-nats"] == f"nats://127.0.0.1:{4223 + offset}"
        assert httpx.get(f"http://127.0.0.1:{8223 + offset}/varz").json()["server_name"] == "market"
        stored = httpx.get(f"http://127.0.0.1:{8223 + offset}/jsz").json()["config"]
        assert stored["store_dir"] == str(data_dir / "market-nats" / "jetstream")
        assert not stored.get("sync_always", False), "ticks wait for no fsync"
        assert httpx.get(f"http://127.0.0.1:{8222 + offset}/jsz").json()["config"]["sync_always"] is True
        stop(process)


@contextmanager
def gateway_that_says(*statuses: int) -> Iterator[int]:
    """A gateway whose /ready answers these, the last one from then on. Yields its port."""
    left = list(statuses)

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()
            self.wfile.write(b"no venue reached")

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is for failures."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


async def test_the_start_says_when_the_gateway_has_reached_a_venue() -> None:
    said: list[str] = []
    with gateway_that_says(503, 503, 200) as port:
        await report_venues(port, said.append)
    assert said == ["the market is here: the gateway has reached a venue"]


async def test_the_start_says_that_no_venue_was_reached_and_goes_no_further() -> None:
    said: list[str] = []
    with gateway_that_says(503) as port:
        await report_venues(port, said.append, within_s=0.0)
    (sentence,) = said
    assert sentence.startswith("the market is not here yet: ")
    assert "no venue reached" in sentence


def test_an_optional_server_tells_services_where_it_is_and_brings_the_sink_of_everything_else(tmp_path: Path) -> None:
    found = programs(Choices(tmp_path, 10, extras=tuple(EXTRAS)))
    assert set(MARKET_PORTS) & set(found) == {"sink-alt"}
    told = found["sink-alt"].environment
    assert {key: told[key] for key in ("TRADE_S3_URL", "TRADE_OPENSEARCH_URL", "TRADE_CLICKHOUSE_PATH")} == {
        "TRADE_S3_URL": "http://127.0.0.1:8343",
        "TRADE_OPENSEARCH_URL": "http://127.0.0.1:9210",
        "TRADE_CLICKHOUSE_PATH": str(tmp_path / "clickhouse"),
    }
    assert "TRADE_MARKET" not in told


def test_optional_servers_come_in_one_order_and_each_once() -> None:
    assert wanted("search, s3,search") == ("s3", "search")
    assert wanted("") == ()


def test_one_that_is_not_installed_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADE_SERVERS_DIR", str(tmp_path / "empty"))
    with pytest.raises(CannotStart, match="make s3"):
        check_installed(["s3"])


def test_the_s3_server_of_a_stack_asks_for_the_keys_of_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a built server its place is taken by any file: only the command line and the environment are compared."""
    (tmp_path / "versitygw").touch()
    monkeypatch.setenv("TRADE_SERVERS_DIR", str(tmp_path))
    made = keys.init(tmp_path / "secrets", guests=True)
    (program,) = programs_of(["s3"], tmp_path, 10, tmp_path / "secrets")
    assert {program.environment["ROOT_ACCESS_KEY"]: program.environment["ROOT_SECRET_KEY"]} == made.s3
    assert ports_of(["s3"], 10) == {"s3": 8343} == dict(program.ports)
