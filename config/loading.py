"""How a service's file and the TRADE_* variables become its Settings. Nothing happens at import."""

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import yaml

from config import secrets
from config.gateway_settings import MarketGatewaySettings
from config.kinds import validated
from config.normalizer_settings import NormalizerSettings
from config.settings import DeskSettings, ExeqSettings, GatewaySettings, OmsSettings, ProjectorSettings, RiskSettings, Settings
from config.sink_alt_settings import SinkAltSettings
from config.sink_settings import SinkTicksSettings
from config.text import ConfigError, parse, read_mapping

S = TypeVar("S", bound=Settings)

CONTAINER_PATH: Final = Path("/app/config/config.yaml")
BACKEND: Final = Path(__file__).parent / "backend"

SERVICES: Final[Mapping[str, type[Settings]]] = {
    "risk": RiskSettings,
    "oms": OmsSettings,
    "exeq": ExeqSettings,
    "live-gateway": GatewaySettings,
    "projector": ProjectorSettings,
    "desk": DeskSettings,
    "gateway": MarketGatewaySettings,
    "normalizer": NormalizerSettings,
    "sink-ticks": SinkTicksSettings,
    "sink-alt": SinkAltSettings,
}


SINKS: Final = ("sink-ticks", "sink-alt")
"""The services that `python -m apps.sink` can be."""


class Override(NamedTuple):
    """A variable that sets a key in the services that have its section. Text stays text; a number is parsed as in YAML."""

    key: str
    is_text: bool = True


OVERRIDES: Final[Mapping[str, Override]] = {
    "TRADE_NATS_URL": Override("nats.url"),
    "TRADE_NATS_MONITOR_URL": Override("nats.monitor_url"),
    "TRADE_SHARDS": Override("nats.shards", is_text=False),
    "TRADE_UNIT_NAME": Override("unit.name"),
    "TRADE_MARKET_NATS_URL": Override("market_nats.url"),
    "TRADE_VALKEY_URL": Override("valkey.url"),
    "TRADE_QUESTDB_HTTP_URL": Override("questdb.http_url"),
    "TRADE_QUESTDB_PG_URL": Override("questdb.pg_url"),
    "TRADE_OPENSEARCH_URL": Override("opensearch.url"),
    "TRADE_CLICKHOUSE_URL": Override("clickhouse.url"),
    "TRADE_CLICKHOUSE_PATH": Override("clickhouse.path"),
    "TRADE_TICK_PLACES": Override("places", is_text=False),
    "TRADE_HOST": Override("service.host"),
    "TRADE_PORT": Override("service.port", is_text=False),
    "TRADE_METRICS_PORT": Override("monitoring.metrics_port", is_text=False),
    "TRADE_DATA_DIR": Override("service.data_dir"),
    "TRADE_LOG_DIR": Override("service.log_dir"),
    "TRADE_FILLS": Override("fills"),
    "TRADE_MARKET": Override("market.mode"),
    "TRADE_QUOTES": Override("quotes.file"),
    "TRADE_QUOTES_COLUMNS": Override("quotes.columns"),
    "TRADE_QUOTES_SPEED": Override("quotes.speed", is_text=False),
    "TRADE_OMS_URL": Override("peers.oms_url"),
    "TRADE_RISK_URL": Override("peers.risk_url"),
    "TRADE_EXEQ_URL": Override("peers.exeq_url"),
    "TRADE_GATEWAY_URL": Override("peers.gateway_url"),
    "TRADE_PROJECTOR_URL": Override("peers.projector_url"),
    "TRADE_ARCHIVE_URL": Override("archive.url"),
    "TRADE_CA_FILE": Override("peers.ca_file"),
    "TRADE_ACCESS": Override("access.mode"),
    "TRADE_TLS": Override("access.tls", is_text=False),
    "TRADE_PROXIES": Override("access.proxies", is_text=False),
    "TRADE_METRICS_NETWORKS": Override("access.metrics_networks", is_text=False),
}


def load(service: str, path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Load the settings of a service by name. Raises ConfigError, which names the file or variable, the key and the reason."""
    return _load(SERVICES[service], service, path, environ)


def path_of(service: str, environ: Mapping[str, str]) -> Path:
    """Return TRADE_CONFIG, else the container's path, else the file of the checkout."""
    if named := environ.get("TRADE_CONFIG"):
        return Path(named)
    return CONTAINER_PATH if CONTAINER_PATH.exists() else BACKEND / service / "config.yaml"


def _load(model: type[S], service: str, path: Path | None, environ: Mapping[str, str]) -> S:
    path = path or path_of(service, environ)
    raw, set_by = _overridden(model, read_mapping(path), environ)
    settings = validated(model, raw, lambda key: set_by.get(key, str(path)))
    return secrets.applied(settings, secrets.read(settings.service.name, environ))


def _overridden(model: type[Settings], raw: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a copy with the variables' values in place, and which variable set which key. An empty variable is ignored."""
    raw, set_by = deepcopy(raw), {}
    for variable, (key, is_text) in OVERRIDES.items():
        text = environ.get(variable)
        section, _, name = key.partition(".")
        if not text or section not in model.model_fields:
            continue
        set_by[key] = variable
        _put(raw, section, name, text if is_text else _value(variable, text))
        if variable == "TRADE_QUOTES":
            _put(raw, section, "source", "file")
    return raw, set_by


def _put(raw: dict[str, Any], section: str, name: str, value: object) -> None:
    if not name:
        raw[section] = value
    elif isinstance(raw.setdefault(section, {}), dict):  # validation refuses anything else, with the file's name
        raw[section][name] = value


def _value(variable: str, text: str) -> object:
    try:
        return parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{variable}: is not a value: {text[:40]!r}") from error


def load_risk(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> RiskSettings:
    return _load(RiskSettings, "risk", path, environ)


def load_oms(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> OmsSettings:
    return _load(OmsSettings, "oms", path, environ)


def load_exeq(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ExeqSettings:
    return _load(ExeqSettings, "exeq", path, environ)


def load_gateway(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> GatewaySettings:
    return _load(GatewaySettings, "live-gateway", path, environ)


def load_projector(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ProjectorSettings:
    return _load(ProjectorSettings, "projector", path, environ)


def load_desk(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> DeskSettings:
    return _load(DeskSettings, "desk", path, environ)


def load_market_gateway(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> MarketGatewaySettings:
    return _load(MarketGatewaySettings, "gateway", path, environ)


def load_normalizer(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> NormalizerSettings:
    return _load(NormalizerSettings, "normalizer", path, environ)


def load_sink(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Load the settings of the sink that `service.name` of the file names; sink-ticks if it names none."""
    path = path or path_of("sink-ticks", environ)
    section = read_mapping(path).get("service")
    name = section.get("name") if isinstance(section, dict) else None
    service = name if name in SINKS else SINKS[0]
    return _load(SERVICES[service], service, path, environ)
