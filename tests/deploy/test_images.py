"""Dockerfiles and compose files say what the code says: ports, users, modules, configuration, servers."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from apps.http.client_address import is_among
from apps.stack import servers
from apps.stack.credentials.users import CLI_KEY_FILE, CONTAINER_UIDS, COPIES, MARKET_SERVICES, SERVICES
from apps.stack.ports import ALL_PORTS, METRICS_OFFSET, SERVICE_PORTS, ServerPorts
from apps.stack.questdb_jar import VERSION as QUESTDB_VERSION
from apps.stack.services import MODULES
from apps.stack.topology import UNIT, UNITED
from apps.unit import carry
from apps.unit.__main__ import environment_of
from config.exposure import access_mode, refuse_plain_http
from config.loading import SERVICES as SETTINGS
from config.loading import load
from config.text import ConfigError

ROOT: Final = Path(__file__).parents[2]
APPS: Final = ROOT / "docker-compose.apps.yml"
CORE: Final = ROOT / "infra/docker-compose.core.yml"
EVERY_SERVICE: Final = (*SERVICES, *MARKET_SERVICES)
IMAGES: Final = (*EVERY_SERVICE, UNIT, "trade")
MARKET_SERVERS: Final = ("market-nats", "seaweedfs", "opensearch", "clickhouse")
ITS_OWN: Final = "# its own\n"


def composed(file: Path) -> dict[str, Any]:
    found = yaml.safe_load(re.sub(r"\$\{\w+-\}", "", file.read_text()))  # as compose reads it without these variables
    assert isinstance(found, dict)
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = composed(CORE)["services"] | composed(APPS)["services"]
    return found


def dockerfile(name: str) -> str:
    return (ROOT / "infra" / name / "Dockerfile").read_text()


@pytest.mark.parametrize("name", EVERY_SERVICE)
def test_a_services_port_is_the_same_number_everywhere(name: str) -> None:
    port = ALL_PORTS[name]
    metrics = port + METRICS_OFFSET
    model = SETTINGS[name].model_fields
    assert (model["service"].default.port, model["monitoring"].default.metrics_port) == (port, metrics)
    settings = load(name, ROOT / "config/backend" / name / "config.yaml", {})
    assert (settings.service.name, settings.service.port, settings.monitoring.metrics_port) == (name, port, metrics)
    text = dockerfile(name)
    assert re.findall(r"^EXPOSE (.*)$", text, re.M) == [f"{port} {metrics}"]
    assert re.findall(r"127\.0\.0\.1:(\d+)/health", text) == [str(port)]
    service = services()[name]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}", f"127.0.0.1:{metrics}:{metrics}"]
    assert re.findall(r"127\.0\.0\.1:(\d+)/health", service["healthcheck"]["test"][-1]) == [str(port)]
    assert f"{name} {port}" in (ROOT / "docs/operations.md").read_text()


@pytest.mark.parametrize("name", EVERY_SERVICE)
def test_a_services_image_runs_its_module_as_the_user_that_its_secrets_belong_to(name: str) -> None:
    text, uid = dockerfile(name), CONTAINER_UIDS[f"{name}.yaml"]
    assert f'CMD ["python", "-m", "{MODULES[name]}"]' in text
    assert f"useradd --uid {uid} " in text
    assert f"\nUSER {uid}:{uid}\n" in text
    assert f"COPY config/backend/{name}/config.yaml /app/config/config.yaml\n" in text


def test_no_two_dockerfiles_have_one_size() -> None:
    """BuildKit takes a Dockerfile with the size and the time of the one before for the same file. A checkout writes many at one time.

    So the image of exeq was once built from the Dockerfile of desk.
    """
    sizes = [(ROOT / "infra" / name / "Dockerfile").stat().st_size for name in IMAGES]
    assert len(set(sizes)) == len(sizes)


def test_a_unit_is_asked_on_the_ports_and_under_the_names_of_its_services() -> None:
    ports = [port for name in UNITED for port in (SERVICE_PORTS[name], SERVICE_PORTS[name] + METRICS_OFFSET)]
    asked = [str(SERVICE_PORTS[name]) for name in UNITED]
    text, unit, apart = dockerfile(UNIT), services()[UNIT], services()
    order = ("oms", "risk", "exeq")
    assert re.findall(r"^EXPOSE (.*)$", text, re.M) == [" ".join(map(str, ports))]
    assert re.findall(r"127\.0\.0\.1:(\d+)/health", text) == asked
    assert re.findall(r"127\.0\.0\.1:(\d+)/health", unit["healthcheck"]["test"][-1]) == asked
    assert unit["ports"] == [port for name in order for port in apart[name]["ports"]]
    assert unit["networks"] == {network: {"aliases": list(order)} for network in apart["oms"]["networks"]}


def test_a_unit_runs_its_module_as_its_user_with_the_configurations_and_passwords_of_its_services() -> None:
    text, unit, uid = dockerfile(UNIT), services()[UNIT], CONTAINER_UIDS[f"{UNIT}.yaml"]
    assert f'CMD ["python", "-m", "{MODULES[UNIT]}"]' in text
    assert f"useradd --uid {uid} " in text
    assert f"\nUSER {uid}:{uid}\n" in text
    told = dict(re.findall(r"(TRADE_\w+_CONFIG)=(\S+)", text))
    for name in UNITED:
        file = environment_of(name, told)["TRADE_CONFIG"]
        assert f"COPY config/backend/{name}/config.yaml {file}\n" in text
        assert f"./config/backend/{name}:{Path(file).parent}:ro" in unit["volumes"]
    assert unit["environment"]["TRADE_SECRETS_DIR"] == f"/run/secrets/trade/{UNIT}"
    assert set(COPIES[UNIT]) == {f"{name}.yaml" for name in (*UNITED, UNIT)}


def test_in_containers_every_request_needs_a_key_and_only_the_command_line_reads_its_own() -> None:
    found = services()
    assert {name for name in found if found[name].get("environment", {}).get("TRADE_ACCESS") == "keys"} == {*EVERY_SERVICE, UNIT, "trade"}
    assert "--guests" not in found["keys"]["command"], "its default is none"
    uid = CONTAINER_UIDS[CLI_KEY_FILE]
    assert f"\nUSER {uid}:{uid}\n" in dockerfile("trade")
    assert uid not in {CONTAINER_UIDS[f"{name}.yaml"] for name in (*EVERY_SERVICE, UNIT)}


@pytest.mark.parametrize("name", EVERY_SERVICE)
def test_a_container_starts_beyond_loopback_in_keys_mode_and_prometheus_may_read_its_metrics(name: str) -> None:
    image = dict(re.findall(r"(TRADE_\w+)=(\S+)", dockerfile(name)))
    assert image["TRADE_HOST"] == "0.0.0.0"
    alone = load(name, ROOT / "config/backend" / name / "config.yaml", image)
    with pytest.raises(ConfigError, match=r"access\.tls: is needed"):
        refuse_plain_http(alone)
    for which in (name, UNIT) if name in UNITED else (name,):
        composed_with = services()[which]["environment"]
        settings = load(name, ROOT / "config/backend" / name / "config.yaml", image | composed_with | {"TRADE_SECRETS_DIR": ""})
        refuse_plain_http(settings)
        assert access_mode(settings) == "keys"
        assert is_among("172.18.0.5", settings.access.metrics_networks)
        assert not is_among("203.0.113.5", settings.access.metrics_networks)


def test_a_unit_is_only_run_when_it_is_named_and_nothing_that_runs_beside_it_starts_the_separate_services() -> None:
    found = services()
    assert found[UNIT]["profiles"] == [UNIT]
    assert {name for name in found if set(found[name].get("depends_on", ())) & set(UNITED)} == {"oms", "exeq"}
    assert found[UNIT]["depends_on"] == {server: {"condition": "service_healthy"} for server in ("nats", "valkey", "questdb")}
    limits = [found[name]["deploy"]["resources"]["limits"] for name in (*UNITED, UNIT)]
    *apart, unit = [(int(limit["memory"].removesuffix("g")), limit["pids"]) for limit in limits]
    assert unit == tuple(map(sum, zip(*apart, strict=True)))


def test_carrying_sees_the_volume_of_each_and_nothing_else() -> None:
    found = services()
    volumes = {name: next(v.split(":")[0] for v in found[name]["volumes"] if v.endswith(":/app/data")) for name in (*UNITED, UNIT)}
    assert found["carry"]["volumes"] == [f"{volume}:{carry.VOLUMES}/{name}" for name, volume in volumes.items()]
    assert found["carry"]["network_mode"] == "none"


def test_the_images_share_all_that_can_be_shared() -> None:
    shared = {dockerfile(name).split("\n", 1)[1].split(ITS_OWN)[0] for name in IMAGES}
    assert len(shared) == 1
    assert re.findall(r"^FROM (.*)$", shared.pop(), re.M)[-1] == "python:3.11-slim"


def test_images_are_built_from_the_hashed_lock_and_leave_state_and_secrets_outside() -> None:
    assert "--require-hashes -r /app/requirements-run.lock" in dockerfile("oms")
    sent = set((ROOT / ".dockerignore").read_text().splitlines())
    copied = {line.split()[1] for name in IMAGES for line in dockerfile(name).splitlines() if re.match("COPY [^-]", line)}
    assert "*" in sent
    assert {path.split("/")[0] for path in copied} == {line[1:] for line in sent if line.startswith("!")}


def test_the_linter_for_dockerfiles_finds_nothing() -> None:
    files = [str(ROOT / "infra" / name / "Dockerfile") for name in IMAGES]
    said = subprocess.run([str(Path(sys.executable).parent / "hadolint"), *files], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


CONTAINERS: Final = (*EVERY_SERVICE, UNIT, "nats", "valkey", "questdb", *MARKET_SERVERS, "prometheus", "grafana", "keys", "trade", "carry")


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_can_change_nothing_but_its_volumes_and_gains_no_rights(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if name not in ("keys", "trade", "carry"):  # they end by themselves
        assert service["restart"] == "unless-stopped"
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
        assert service["healthcheck"]["test"]


def test_only_the_containers_that_give_files_away_run_as_root_and_they_have_no_network() -> None:
    found = services()
    roots = {name for name, service in found.items() if service.get("user", "").startswith("0:")}
    assert roots == {"keys", "carry"}
    assert {found[name]["network_mode"] for name in roots} == {"none"}
    assert {right for name in roots for right in found[name]["cap_add"]} == {"CHOWN", "DAC_OVERRIDE"}
    named = {name for name, service in found.items() if "user" in service}
    assert {"nats", "valkey", "questdb", *MARKET_SERVERS, "prometheus", "grafana"} <= named
    for server, file in (
        ("nats", "nats-users.conf"),
        ("market-nats", "market-nats-users.conf"),
        ("seaweedfs", "seaweedfs.json"),
        ("clickhouse", "clickhouse.env"),
        ("valkey", "valkey.acl"),
        ("questdb", "questdb.env"),
        ("grafana", "grafana.password"),
    ):
        assert found[server]["user"].split(":")[0] == str(CONTAINER_UIDS[file])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_depends_on_to_be_well(name: str) -> None:
    asked = {
        "risk": {"nats", "valkey", "questdb"},
        "oms": {"nats", "valkey", "questdb", "risk"},
        "exeq": {"nats", "oms"},
        "live-gateway": {"nats", "questdb"},
        "projector": {"nats", "valkey", "questdb"},
        "desk": {"nats"},
    }
    service = services()[name]
    assert service["depends_on"] == {other: {"condition": "service_healthy"} for other in asked[name]}
    assert service["networks"] == ["frontend", "lowlatency", "backend"]
    assert f"./config/backend/{name}:/app/config:ro" in service["volumes"]


@pytest.mark.parametrize("name", MARKET_SERVICES)
def test_a_service_of_the_market_plane_runs_only_with_its_profile_and_on_its_networks(name: str) -> None:
    asked = {
        "gateway": ({"market"}, {"nats", "market-nats"}, ["frontend", "lowlatency", "backend"]),
        "normalizer": ({"market"}, {"nats", "market-nats"}, ["lowlatency", "backend"]),
        "sink-ticks": ({"market"}, {"nats", "market-nats", "questdb"}, ["lowlatency", "backend"]),
        "sink-alt": ({"archive", "search", "analytics"}, {"nats"}, ["lowlatency", "backend"]),
    }
    profiles, servers, networks = asked[name]
    service = services()[name]
    assert set(service["profiles"]) == profiles
    assert service["depends_on"] == {other: {"condition": "service_healthy"} for other in servers}
    assert service["networks"] == networks
    assert f"./config/backend/{name}:/app/config:ro" in service["volumes"]


def test_a_sink_reads_its_copies_of_the_keys_of_s3() -> None:
    for name in ("sink-ticks", "sink-alt"):
        assert services()[name]["environment"]["TRADE_SECRETS_DIR"] == f"/run/secrets/trade/{name}"
        assert set(COPIES[name]) == {f"{name}.yaml", "s3_access_key", "s3_secret_key"}


def test_ticks_go_to_s3_in_containers_too_where_that_is_wanted() -> None:
    service, file = services()["sink-ticks"]["environment"], ROOT / "config/backend/sink-ticks/config.yaml"
    wanted = service | {"TRADE_SECRETS_DIR": ""}
    assert load("sink-ticks", file, wanted).model_dump()["places"] == ("questdb",)
    assert load("sink-ticks", file, wanted | {"TRADE_TICK_PLACES": "[questdb, s3]"}).model_dump()["places"] == ("questdb", "s3")
    assert service["TRADE_TICK_PLACES"] == service["TRADE_S3_URL"] == ""


def test_without_a_profile_compose_runs_the_core_alone() -> None:
    found = services()
    assert {name for name in found if not found[name].get("profiles")} == {*SERVICES, "keys", "nats", "valkey", "questdb"}
    assert {name for name in found if "market" in found[name].get("profiles", ())} == {"market-nats", "gateway", "normalizer", "sink-ticks"}
    assert {found[name]["environment"]["TRADE_MARKET"] for name in (*SERVICES, UNIT)} == {""}


@pytest.mark.parametrize("name", EVERY_SERVICE)
def test_configuration_speaks_of_services_never_of_this_machine(name: str) -> None:
    text = (ROOT / "config/backend" / name / "config.yaml").read_text()
    assert not re.search(r"localhost|127\.0\.0\.1", text)
    hosts = set(re.findall(r"://(?:[^@/\s]*@)?([a-z.-]+)", re.sub(r"#.*", "", text)))
    venues = {host for host in hosts if "." in host} if name == "gateway" else set()
    assert hosts - venues <= set(services())


def test_the_servers_are_those_that_the_core_runs_with_on_one_machine() -> None:
    found = services()
    assert found["nats"]["image"] == f"nats:{'.'.join(map(str, servers.NATS_VERSION_MIN))}-alpine"
    assert found["questdb"]["image"] == f"questdb/questdb:{QUESTDB_VERSION}"
    assert found["market-nats"]["image"] == found["nats"]["image"]
    published = {port.split(":")[1] for name in ("nats", "valkey", "questdb", "market-nats") for port in found[name]["ports"]}
    assert published == {str(port) for port in ServerPorts().all() if port != ServerPorts().questdb_min}


def meant(conf: str) -> set[str]:
    """The settings of a server's configuration, without comments and places."""
    lines = {line.strip() for line in conf.splitlines()}
    return {
        line
        for line in lines
        if line and not line.startswith(("#", "include", "mappings", "aclfile", "listen", "http:", "store_dir", "dir ", "bind "))
    }


def test_servers_in_containers_are_configured_as_on_one_machine(tmp_path: Path) -> None:
    ports = ServerPorts()
    servers.nats(tmp_path, ports), servers.market_nats(tmp_path, ports), servers.valkey(tmp_path, ports)
    ours = {"nats/nats.conf": "nats/nats.conf", "market-nats/nats.conf": "nats/market.conf", "valkey/valkey.conf": "valkey/valkey.conf"}
    for here, there in ours.items():
        text = (tmp_path / here).read_text()
        assert meant(text) - {"protected-mode yes"} == meant((ROOT / "infra" / there).read_text()), there
    assert "sync_interval" not in (ROOT / "infra/nats/market.conf").read_text(), "ticks wait for no fsync"
    assert "sync_interval: always" in (ROOT / "infra/nats/nats.conf").read_text()
    assert services()["nats"]["environment"] == services()["market-nats"]["environment"] == servers.NATS_ENVIRONMENT


def test_no_password_is_in_a_file_that_all_can_read() -> None:
    for file in (APPS, CORE, *(ROOT / "infra").glob("*/*")):
        if file.is_file():
            assert not re.search(r"(?i)password['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9]", file.read_text()), file
