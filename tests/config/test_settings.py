"""What configuration files say, what they may not say, and what the environment overrides."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.catalogue import load_instruments
from config.kinds import Section
from config.loading import SERVICES, load, load_gateway, load_oms, load_risk, path_of
from config.percent import fractions_among
from config.settings import Settings
from config.text import ConfigError

USER = Path(__file__).parents[1] / "data" / "user_config"
NOWHERE: dict[str, str] = {}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_users_risk_file_loads_as_it_is() -> None:
    settings = load_risk(USER / "risk.yaml", NOWHERE)
    checks = settings.risk_checks
    assert (settings.service.port, settings.monitoring.metrics_port, settings.valkey.db) == (8103, 9103, 4)
    assert checks.enabled == ("position_limit", "order_size_limit", "buying_power", "var_limit", "concentration_limit", "short_restriction")
    assert (checks.max_order_size_usd, checks.max_order_size_shares) == (Decimal(100000), Decimal(10000))
    assert str(checks.max_concentration_pct) == "25.0"
    assert str(checks.var_confidence_level) == "0.99"
    assert settings.monitoring.latency_alert_threshold_ms == 2.0
    assert settings.nats.url == "nats://nats:4222", "the file has no nats section"


def test_the_users_oms_file_loads_as_it_is() -> None:
    settings = load_oms(USER / "oms.yaml", NOWHERE)
    assert (settings.service.port, settings.monitoring.metrics_port, settings.valkey.db) == (8099, 9099, 5)
    assert (settings.nats.fill_subject, settings.nats.order_subject_prefix) == ("fills.>", "orders")
    assert settings.risk_service.timeout_sec == 0.005
    assert settings.order_management.order_timeout_sec == 300
    assert settings.order_management.default_account == "main"
    assert settings.journal.durability == "fsync"


def test_keys_without_effect_say_so_when_a_file_sets_them() -> None:
    risk = {sentence.split()[0] for sentence in load_risk(USER / "risk.yaml", NOWHERE).without_effect()}
    oms = {sentence.split()[0] for sentence in load_oms(USER / "oms.yaml", NOWHERE).without_effect()}
    assert {"service.workers", "performance.cache_positions", "performance.cache_limits", "performance.async_var_calculation"} <= risk
    assert {"service.workers", "risk_service.check_endpoint", "performance.latency_sla_ms", "valkey.position_ttl_sec"} <= oms


@pytest.mark.parametrize("model", SERVICES.values())
def test_every_key_said_to_have_no_effect_exists(model: type[Settings]) -> None:
    for key in model.NO_EFFECT:
        section, name = key.split(".")
        assert name in getattr(model.model_validate({}), section).__class__.model_fields


@pytest.mark.parametrize("service", SERVICES)
def test_our_own_files_spell_out_the_defaults_and_use_service_names(service: str) -> None:
    path = path_of(service, NOWHERE)
    settings = load(service, path, NOWHERE)
    assert settings == SERVICES[service].model_validate({})
    assert settings.service.name == service
    assert settings.without_effect() == settings.notices() == []
    assert "localhost" not in path.read_text()
    assert "127.0.0.1" not in path.read_text()


REFUSED: list[tuple[str, str, str]] = [
    ("oms", "service: {prt: 1}", "service.prt: is not a known key; did you mean port?"),
    ("oms", "sevice: {port: 1}", "sevice: is not a known key; did you mean service?"),
    ("oms", "risk_checks: {}", "risk_checks: is not a known key"),
    ("oms", "service: {port: 0}", "service.port: must be greater than or equal to 1, found 0"),
    ("oms", "service: {port: 70000}", "service.port: must be less than or equal to 65535, found 70000"),
    ("oms", "service: {port: '8099'}", "service.port: must be a valid integer, found '8099'"),
    ("oms", "service: {port: 8099.0}", "service.port: must be a valid integer, found 8099.0"),
    ("oms", "service: {workers: true}", "service.workers: must be a valid integer, found true"),
    ("oms", "service: {name: risk}", "service.name: must be 'oms', found 'risk'"),
    ("oms", "service: 3", "service: must be a mapping of keys to values, found 3"),
    ("oms", "risk_service: {timeout_sec: 0}", "risk_service.timeout_sec: must be greater than 0, found 0"),
    ("oms", "risk_service: {timeout_sec: -0.005}", "risk_service.timeout_sec: must be greater than 0, found -0.005"),
    ("oms", "risk_service: {timeout_sec: soon}", "risk_service.timeout_sec: must be a number, found 'soon'"),
    ("oms", "risk_service: {enabled: false}", "risk_service.enabled: no order is accepted without a decision from risk"),
    ("oms", "order_management: {supported_order_types: []}", "order_management.supported_order_types: "),
    ("oms", "order_management: {supported_order_types: [limt]}", "order_management.supported_order_types.0: must be 'market'"),
    ("oms", "order_management: {supported_order_types: limit}", "order_management.supported_order_types: must be a list"),
    ("oms", "order_management: {update_positions_realtime: false}", "order_management.update_positions_realtime: must be true"),
    ("oms", "order_management: {default_account: 'a.b'}", "order_management.default_account: may have letters"),
    ("oms", "nats: {url: 'http://nats:4222'}", "nats.url: must be an address that starts with nats:// or tls://"),
    ("oms", "nats: {url: 'nats://a b'}", "nats.url: must be an address that starts with nats:// or tls://"),
    ("oms", "nats: {fill_subject: 'trades.>'}", "nats.fill_subject: must be 'fills.>', found 'trades.>'"),
    ("oms", "journal: {shards: 2}", "journal.shards: must be less than or equal to 1, found 2"),
    ("oms", "nats: {shards: 65}", "nats.shards: must be less than or equal to 64, found 65"),
    ("desk", "nats: {shards: 2}", "nats.shards must be 1, found 2: this service follows only one shard"),
    ("sink-alt", "nats: {shards: 2}", "nats.shards must be 1, found 2: this service follows only one shard"),
    ("oms", "journal: {durability: maybe}", "journal.durability: must be 'fsync' or 'relaxed', found 'maybe'"),
    ("risk", "risk_checks: {max_order_size_usd: -1}", "risk_checks.max_order_size_usd: must be greater than or equal to 0, found -1"),
    ("risk", "risk_checks: {max_concentration_pct: 100.01}", "risk_checks.max_concentration_pct: must be less than or equal to 100"),
    ("risk", "risk_checks: {margin_requirement_pct: 0}", "risk_checks.margin_requirement_pct: must be above 0"),
    ("risk", "risk_checks: {var_confidence_level: 99}", "risk_checks.var_confidence_level: must be at least 0.5 and below 1, found 99"),
    ("risk", "risk_checks: {enabled: [vwap_limit]}", "risk_checks.enabled.0: must be 'position_limit'"),
    ("risk", "risk_checks: {enabled: [var_limit, var_limit]}", "risk_checks.enabled: lists a check twice"),
    ("risk", "performance: {async_var_calculation: true}", "performance.async_var_calculation: must be false"),
    ("risk", "valkey: {db: 16}", "valkey.db: must be less than or equal to 15, found 16"),
    ("live-gateway", "quotes: {source: file}", "quotes: source: file and file: PATH must be set together"),
    ("live-gateway", "quotes: {speed: fast}", 'quotes.speed: must be a number above 0, "max" or "stepped", found \'fast\''),
    ("live-gateway", "quotes: {speed: 0}", "quotes.speed: must be a number above 0"),
    ("oms", "service: {port: 1}\nnats: {}\nservice: {port: 2}", "line 3: duplicate key 'service'"),
    ("oms", "service:\n  port: 1\n  port: 2", "line 3: duplicate key 'port'"),
    ("oms", "service: {port: 0x1fff}", "line 1: '0x1fff' is not a plain decimal number"),
    ("oms", "service: {port: 010}", "line 1: '010' is not a plain decimal number"),
    ("oms", "service: {port: 1:30}", "line 1: '1:30' is not a plain decimal number"),
    ("oms", "risk_service: {timeout_sec: .nan}", "line 1: '.nan' is not a plain decimal number"),
    ("oms", "risk_service: {timeout_sec: .inf}", "line 1: '.inf' is not a plain decimal number"),
    ("oms", "risk_service: {timeout_sec: 1.0e+3}", "line 1: '1.0e+3' is not a plain decimal number"),
    ("oms", "risk_service: {timeout_sec: " + "9" * 5000 + "}", "is not a plain decimal number"),
    ("oms", "- oms", "must be a mapping of keys to values"),
    ("oms", "service: [", "line 1: "),
    ("oms", "service: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
]


@pytest.mark.parametrize(("service", "text", "reason"), REFUSED, ids=[reason[:60] for _, _, reason in REFUSED])
def test_a_wrong_file_is_refused_with_file_key_and_reason(service: str, text: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(service, path, NOWHERE)
    assert str(refused.value).startswith(f"{path}: ")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_failing_open_cannot_be_configured(tmp_path: Path) -> None:
    path = written(tmp_path, "risk_service: {fail_closed: false}")
    with pytest.raises(ConfigError) as refused:
        load_oms(path, NOWHERE)
    expected = "orders are refused when risk cannot answer; this cannot be switched off, found false"
    assert str(refused.value) == f"{path}: risk_service.fail_closed: {expected}"


def test_every_problem_has_its_own_line(tmp_path: Path) -> None:
    path = written(tmp_path, "service: {port: 0, workers: x}\nextra: 1")
    with pytest.raises(ConfigError) as refused:
        load_oms(path, NOWHERE)
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == ["service.port", "service.workers", "extra"]


def test_a_refused_address_does_not_show_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_oms(written(tmp_path, "questdb: {pg_url: 'postgres//admin:hunter2@db'}"), NOWHERE)
    assert "questdb.pg_url" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_missing_file_and_one_that_is_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file"):
        load_oms(tmp_path / "absent.yaml", NOWHERE)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_oms(tmp_path / "binary.yaml", NOWHERE)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_oms(written(tmp_path, ""), NOWHERE) == SERVICES["oms"].model_validate({})


def test_money_is_read_from_its_text_and_never_through_float(tmp_path: Path) -> None:
    path = written(tmp_path, "risk_checks: {max_order_size_usd: 64250.123456789012345678, max_concentration_pct: 0.1}")
    checks = load_risk(path, NOWHERE).risk_checks
    assert checks.max_order_size_usd == Decimal("64250.123456789012345678")
    assert checks.max_concentration_pct * 3 == Decimal("0.3")


OVERRIDDEN: list[tuple[str, str, str, Any]] = [
    ("TRADE_NATS_URL", "nats://127.0.0.1:14222", "nats.url", "nats://127.0.0.1:14222"),
    ("TRADE_VALKEY_URL", "redis://127.0.0.1:1", "valkey.url", "redis://127.0.0.1:1"),
    ("TRADE_QUESTDB_HTTP_URL", "http://127.0.0.1:1", "questdb.http_url", "http://127.0.0.1:1"),
    ("TRADE_QUESTDB_PG_URL", "postgresql://a:b@127.0.0.1:1/qdb", "questdb.pg_url", "postgresql://a:b@127.0.0.1:1/qdb"),
    ("TRADE_HOST", "0.0.0.0", "service.host", "0.0.0.0"),
    ("TRADE_PORT", "18099", "service.port", 18099),
    ("TRADE_METRICS_PORT", "19099", "monitoring.metrics_port", 19099),
    ("TRADE_DATA_DIR", "/somewhere/data", "service.data_dir", Path("/somewhere/data")),
    ("TRADE_LOG_DIR", "/somewhere/logs", "service.log_dir", Path("/somewhere/logs")),
    ("TRADE_RISK_URL", "http://127.0.0.1:18103", "peers.risk_url", "http://127.0.0.1:18103"),
    ("TRADE_GATEWAY_URL", "http://127.0.0.1:18105", "peers.gateway_url", "http://127.0.0.1:18105"),
]


@pytest.mark.parametrize(("variable", "text", "key", "value"), OVERRIDDEN, ids=[row[0] for row in OVERRIDDEN])
def test_the_environment_overrides_a_key_and_leaves_the_file(variable: str, text: str, key: str, value: object) -> None:
    section, name = key.split(".")
    settings = load_oms(USER / "oms.yaml", {variable: text})
    assert getattr(getattr(settings, section), name) == value
    assert settings.risk_service.timeout_sec == 0.005


def test_fills_may_go_to_sqlite_and_quotes_come_from_a_file() -> None:
    assert load("projector", environ={"TRADE_FILLS": "sqlite"}).notices()
    gateway = load_gateway(environ={"TRADE_QUOTES": "/quotes.csv", "TRADE_QUOTES_SPEED": "max"})
    assert (gateway.quotes.source, gateway.quotes.file, gateway.quotes.speed) == ("file", Path("/quotes.csv"), "max")
    assert load_gateway(environ={"TRADE_QUOTES_SPEED": "2.5"}).quotes.speed == Decimal("2.5")


def percents() -> list[tuple[str, str]]:
    """Service and dotted key of every setting that is named a percentage."""
    return [
        (service, f"{section}.{name}")
        for service, model in SERVICES.items()
        for section, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        for name in field.annotation.model_fields
        if name.endswith("_pct")
    ]


@pytest.mark.parametrize(("service", "key"), percents())
def test_a_percentage_that_looks_like_a_fraction_is_warned_of_by_name_and_meaning(service: str, key: str, tmp_path: Path) -> None:
    section, name = key.split(".")
    for text, warnings in (
        ("0.25", [f"{key} is 0.25, which is 0.25 % (as a fraction 0.0025); for 25 % write 25"]),
        ("1", []),
        ("25.0", []),
    ):
        file = written(tmp_path, f"{section}: {{{name}: {text}}}\n")
        assert load(service, file, NOWHERE).notices() == warnings


def test_the_percentages_that_people_took_for_fractions_are_among_them() -> None:
    assert {"risk_checks.margin_requirement_pct", "risk_checks.max_concentration_pct"} <= {key for _, key in percents()}


def test_collars_of_instruments_that_look_like_fractions_are_warned_of() -> None:
    some = next(iter(load_instruments().instruments.values()))
    collars = {"A": "0.2", "B": "20", "C": "0.2", "D": None}
    instruments = [msgspec.structs.replace(some, symbol=s, collar_pct=pct and Decimal(pct)) for s, pct in collars.items()]
    (warning,) = fractions_among(instruments)
    assert warning == "collar_pct of A and 1 more is 0.2, which is 0.2 % (as a fraction 0.002); for 20 % write 20"
    assert fractions_among(load_instruments().instruments.values()) == []


def test_a_variable_for_another_service_and_an_empty_one_change_nothing() -> None:
    assert load("exeq", environ={"TRADE_QUOTES": "/quotes.csv", "TRADE_VALKEY_URL": "redis://x:1", "TRADE_PORT": ""}) == SERVICES[
        "exeq"
    ].model_validate({})


def test_a_wrong_variable_is_named_in_the_refusal() -> None:
    with pytest.raises(ConfigError, match=r"^TRADE_PORT: service\.port: must be less than or equal to 65535, found 70000$"):
        load_oms(environ={"TRADE_PORT": "70000"})
    with pytest.raises(ConfigError, match=r"^TRADE_PORT: service\.port: must be a valid integer, found 'x'$"):
        load_oms(environ={"TRADE_PORT": "x"})
    with pytest.raises(ConfigError, match=r"^TRADE_PORT: is not a value: '\['$"):
        load_oms(environ={"TRADE_PORT": "["})


def test_trade_config_names_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "service: {port: 12345}")
    assert load_oms(environ={"TRADE_CONFIG": str(path)}).service.port == 12345


def test_settings_cannot_be_changed_after_loading() -> None:
    settings = load_oms(environ=NOWHERE)
    with pytest.raises(ValueError, match="frozen"):
        settings.service.port = 1
