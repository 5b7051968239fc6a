"""The services as programs: their modules, ports, and the environment with all addresses."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.runtime.exit_codes import Exit
from apps.stack.credentials.users import DESK, GATEWAY, NORMALIZER, SINK_ALT, SINK_TICKS
from apps.stack.extras import environment_of
from apps.stack.market import BACKEND, CONFIG, SIMULATED
from apps.stack.ports import ALL_PORTS, HOST, MARKET_PORTS, METRICS_OFFSET, SERVICE_PORTS
from apps.stack.program import PROJECTION_NICENESS, SINK_NICENESS, URGENT_NICENESS, Program, http_answers
from apps.stack.servers import Servers
from apps.stack.topology import UNIT, UNITED
from apps.stack.trouble import CannotStart
from config.access_mode import ACCESS_VARIABLE, KEYS, OPEN
from config.catalogue import live_venues
from config.secrets import VARIABLE as SECRETS_VARIABLE
from config.text import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = {
    "oms": "apps.oms",
    "risk": "apps.risk",
    "exeq": "apps.exeq",
    "live-gateway": "apps.live_gateway",
    "projector": "apps.projector",
    DESK: "apps.desk",
    UNIT: "apps.unit",
    GATEWAY: "apps.gateway",
    NORMALIZER: "apps.normalizer",
    SINK_TICKS: "apps.sink",
    SINK_ALT: "apps.sink",
}
URL_VARIABLES = {name: f"TRADE_{name.removeprefix('live-').upper()}_URL" for name in SERVICE_PORTS}
MARKET_URL_VARIABLES = {name: f"TRADE_MARKET_{name.upper().replace('-', '_')}_URL" for name in MARKET_PORTS}
"""Named with `MARKET`, because `TRADE_GATEWAY_URL` has always been live-gateway's."""
SINKS = (SINK_TICKS, SINK_ALT)
NICENESS = {
    "risk": URGENT_NICENESS,
    **dict.fromkeys(("projector", DESK, GATEWAY, NORMALIZER), PROJECTION_NICENESS),
    **dict.fromkeys(SINKS, SINK_NICENESS),
}
SECRETS = "secrets"
"""The directory of the passwords, in the data directory."""


@dataclass(frozen=True)
class Choices:
    """The choices of the command line that concern services."""

    data_dir: Path
    port_offset: int = 0
    fills: str = "questdb"
    quotes: Path | None = None
    quotes_speed: str = ""
    quotes_columns: str = ""
    config_dir: Path | None = None
    guests: bool = True
    topology: str = UNIT
    access: str = OPEN
    desk: bool = True
    market: str = SIMULATED
    extras: tuple[str, ...] = ()
    """The optional servers (apps.stack.extras)."""
    shards: int = 1
    """Of the order journal, fixed when it is created."""

    @property
    def real_market(self) -> bool:
        """Whether quotes come from venues, over the gateway and the normalizer of the market plane."""
        return self.market == CONFIG

    def services(self) -> list[str]:
        """Return the names of the services to run."""
        found = [name for name in SERVICE_PORTS if name != DESK or (self.desk and self.shards == 1)]
        if self.real_market:
            found += [GATEWAY, NORMALIZER, *([SINK_TICKS] if self.fills == "questdb" else [])]
        return found + ([SINK_ALT] if self.extras else [])

    @property
    def admits_guests(self) -> bool:
        """Whether the servers allow programs without a password to read published data: never where every request needs a key."""
        return self.guests and self.access == OPEN

    @property
    def secrets(self) -> Path:
        """The directory of this stack's passwords."""
        return self.data_dir / SECRETS

    def url(self, service: str) -> str:
        return f"http://{HOST}:{ALL_PORTS[service] + self.port_offset}"


def services(choices: Choices, servers: Servers) -> list[Program]:
    """Return the programs of all services that are wanted.

    CannotStart (usage) for a directory without any of their configurations.
    """
    wanted = choices.services()
    files = _configurations(choices.config_dir, wanted)
    common = _common_environment(choices, servers)
    if choices.topology != UNIT:
        return [_service(name, choices.port_offset, common, files.get(name)) for name in wanted]
    apart = [_service(name, choices.port_offset, common, files.get(name)) for name in wanted if name not in UNITED]
    return [_unit(choices.port_offset, common, files), *apart]


def _unit(port_offset: int, common: Mapping[str, str], files: Mapping[str, Path]) -> Program:
    """Return oms, risk and exeq as one program. It is ready when all three are."""
    ports, own = dict[str, int](), dict[str, str]()
    for name in UNITED:
        ports[name] = SERVICE_PORTS[name] + port_offset
        ports[f"{name} metrics"] = ports[name] + METRICS_OFFSET
        prefix = f"TRADE_{name.upper()}"
        own |= {f"{prefix}_PORT": str(ports[name]), f"{prefix}_METRICS_PORT": str(ports[f"{name} metrics"])}
        if config := files.get(name):
            own[f"{prefix}_CONFIG"] = str(config)

    def probe() -> None:
        for name in UNITED:
            http_answers(ports[name], "/ready")

    return Program(
        name=UNIT,
        kind="service",
        command=(sys.executable, "-m", MODULES[UNIT]),
        probe=probe,
        ports=ports,
        environment={**common, **own},
        cwd=CHECKOUT,
        services=UNITED,
    )


def _service(name: str, port_offset: int, common: Mapping[str, str], config: Path | None) -> Program:
    port = ALL_PORTS[name] + port_offset
    metrics_port = port + METRICS_OFFSET
    path = "/health" if name in MARKET_PORTS else "/ready"  # a start waits for no venue, and not until a sink has caught up
    own = {"TRADE_PORT": str(port), "TRADE_METRICS_PORT": str(metrics_port)}
    if name in SINKS:
        config = config or BACKEND / name / "config.yaml"  # one program: the file says which sink it is
    if config:
        own["TRADE_CONFIG"] = str(config)

    def probe() -> None:
        http_answers(port, path)

    return Program(
        name=name,
        kind="service",
        command=(sys.executable, "-m", MODULES[name]),
        probe=probe,
        ports={"http": port, "metrics": metrics_port},
        environment={**common, **own},
        cwd=CHECKOUT,
        niceness=NICENESS.get(name, 0),
        services=(name,),
    )


def _common_environment(choices: Choices, servers: Servers) -> dict[str, str]:
    environment = {
        "PYTHONUNBUFFERED": "1",
        "TRADE_HOST": HOST,
        "TRADE_NATS_URL": servers.nats_url,
        "TRADE_NATS_MONITOR_URL": servers.nats_monitor_url,
        "TRADE_VALKEY_URL": servers.valkey_url,
        "TRADE_QUESTDB_HTTP_URL": servers.questdb_http_url,
        "TRADE_QUESTDB_PG_URL": servers.questdb_pg_url,
        "TRADE_DATA_DIR": str(choices.data_dir),
        "TRADE_LOG_DIR": str(choices.data_dir / "logs"),
        "TRADE_FILLS": choices.fills,
        ACCESS_VARIABLE: choices.access,
        SECRETS_VARIABLE: str(choices.secrets),
        "TRADE_QUOTES": str(choices.quotes.resolve()) if choices.quotes else "",
        "TRADE_QUOTES_SPEED": choices.quotes_speed,
        "TRADE_QUOTES_COLUMNS": choices.quotes_columns,
    }
    environment |= {variable: choices.url(name) for name, variable in URL_VARIABLES.items()}
    if choices.real_market:
        environment |= {"TRADE_MARKET": choices.market, "TRADE_MARKET_NATS_URL": servers.market_nats_url}
    if choices.shards > 1:
        environment["TRADE_SHARDS"] = str(choices.shards)
    environment |= environment_of(choices.extras, choices.data_dir, choices.port_offset)
    environment |= _catalogue(choices.config_dir)
    return {name: value for name, value in environment.items() if value}


def _catalogue(config_dir: Path | None) -> dict[str, str]:
    """Return the variables of instruments and venues if the directory has the files; else the environment or the checkout applies."""
    files = {f"TRADE_{name.upper()}": config_dir.resolve() / f"{name}.yaml" for name in ("instruments", "venues")} if config_dir else {}
    return {variable: str(file) for variable, file in files.items() if file.is_file()}


def usual_access(config_dir: Path | None) -> str:
    """Return the mode of access of a stack that names none: `keys` if a venue of its catalogue is live, else `open`."""
    named = _catalogue(config_dir).get("TRADE_VENUES")
    try:
        return KEYS if live_venues(Path(named) if named else None) else OPEN
    except ConfigError:
        return OPEN  # the services refuse this catalogue and name the fault


def _configurations(config_dir: Path | None, services: Sequence[str]) -> dict[str, Path]:
    """Return the configuration file of each service that has one in the directory; the others use the checkout's."""
    if config_dir is None:
        return {}
    found = {name: config_dir.resolve() / name / "config.yaml" for name in services}
    found = {name: file for name, file in found.items() if file.is_file()}
    if not found and not _catalogue(config_dir):
        sentence = f"{config_dir} holds no <service>/config.yaml for any of {', '.join(services)}, nor instruments.yaml or venues.yaml."
        raise CannotStart(sentence, remedy="Compare config/backend.", exit_code=Exit.USAGE)
    return found
