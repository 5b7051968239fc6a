"""Which mode a service runs in, and what it refuses to start with: the address, the venues and TLS."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.stack.services import usual_access
from config.exposure import access_mode, is_loopback, refuse_plain_http
from config.loading import SERVICES, load_oms
from config.settings import Settings
from config.text import ConfigError

FEES = {"maker_bps": 0, "taker_bps": 0}
PLAIN = {"MINE": {"fees": FEES, "session": "plain"}}
VENUES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("paper venues", {"A": {"fees": FEES}, "B": {"fees": FEES, "session": "full", "live": False}}, ()),
    ("a program of the user's own", {"A": {"fees": FEES}, **PLAIN}, ("MINE",)),
    ("a program of the user's own that trades nothing real", {"MINE": {"fees": FEES, "session": "plain", "live": False}}, ()),
    ("a live venue with a full session", {"A": {"fees": FEES, "live": True}}, ("A",)),
]


def settings_of(**changes: Any) -> Settings:
    return SERVICES["oms"].model_validate(changes)


def at(host: str, **access: Any) -> Settings:
    return settings_of(service={"host": host}, access=access)


def venues(home: Path, venues: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "venues.yaml"
    file.write_text(yaml.safe_dump({"venues": venues}))
    monkeypatch.setenv("TRADE_VENUES", str(file))


LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LocalHost"]
BEYOND = ["0.0.0.0", "::", "10.0.0.7", "2001:db8::1", "oms", "trade.example", "localhost.example", "", "::ffff:127.0.0.1"]


def test_loopback_is_what_only_this_machine_reaches() -> None:
    assert [host for host in LOOPBACK + BEYOND if is_loopback(host)] == LOOPBACK


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_loopback_with_paper_venues_a_service_is_open(host: str) -> None:
    assert access_mode(at(host)) == access_mode(at(host, mode="open")) == "open"
    assert access_mode(at(host, mode="keys")) == "keys"


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_loopback_a_service_needs_keys_and_refuses_to_be_open(host: str) -> None:
    assert access_mode(at(host)) == access_mode(at(host, mode="keys")) == "keys"
    with pytest.raises(ConfigError, match=r"^oms: access\.mode: open is refused: service\.host is .*set keys \(TRADE_ACCESS=keys\)"):
        access_mode(at(host, mode="open"))


@pytest.mark.parametrize(("listed", "live"), [row[1:] for row in VENUES], ids=[row[0] for row in VENUES])
def test_a_live_venue_needs_keys(listed: dict[str, Any], live: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venues(tmp_path, listed, monkeypatch)
    assert access_mode(settings_of()) == ("keys" if live else "open")
    if live:
        with pytest.raises(ConfigError, match=rf"the venue {live[0]} is live; set keys .* live: false for it in venues\.yaml$"):
            access_mode(settings_of(access={"mode": "open"}))


@pytest.mark.parametrize("access", [{"tls": "proxied"}, {"proxies": ["127.0.0.1"]}])
def test_behind_a_proxy_loopback_is_not_this_machine_alone(access: dict[str, Any]) -> None:
    assert access_mode(at("127.0.0.1", **access)) == "keys"
    with pytest.raises(ConfigError, match="a proxy lets other machines in"):
        access_mode(at("127.0.0.1", mode="open", **access))


def test_a_catalogue_that_cannot_be_read_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADE_VENUES", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        access_mode(settings_of())
    assert access_mode(settings_of(access={"mode": "keys"})) == "keys"


def test_plain_http_stays_on_this_machine_unless_something_in_front_protects_it() -> None:
    for host in LOOPBACK:
        refuse_plain_http(at(host))
    for host in BEYOND:
        with pytest.raises(ConfigError, match=r"^oms: access\.tls: is needed.*cert: FILE.*proxied, TRADE_TLS=proxied"):
            refuse_plain_http(at(host))
        refuse_plain_http(at(host, tls="proxied"))
        refuse_plain_http(at(host, tls={"cert": "c.pem", "key": "k.pem"}))


REFUSED: list[tuple[str, str]] = [
    ("access: {mode: closed}", "access.mode: must be 'open' or 'keys', found 'closed'"),
    ("access: {tls: yes}", "access.tls: must be 'proxied', or a mapping of cert, key and client_ca to files"),
    ("access: {tls: proxy}", "access.tls: must be 'proxied', or a mapping of cert, key and client_ca to files, found 'proxy'"),
    ("access: {tls: {cert: a.pem}}", "access.tls.key: is missing"),
    ("access: {tls: {cert: a.pem, key: 3}}", "access.tls.key: must be a path, found 3"),
    ("access: {tls: {cert: a.pem, key: b.pem, ca: c.pem}}", "access.tls.ca: is not a known key"),
    ("access: {proxies: 10.0.0.0/8}", "access.proxies: must be a list"),
    ("access: {proxies: [10.0.0.1/8]}", "access.proxies.0: must be an address or a network without host bits"),
    ("access: {metrics_networks: [all]}", "access.metrics_networks.0: must be an address or a network"),
    ("access: {metrics_networks: [10]}", "access.metrics_networks.0: must be "),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_wrong_value_is_refused_with_file_key_and_reason(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "oms.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_oms(file, {})
    for line in str(refused.value).splitlines():
        assert line.startswith(f"{file}: {reason}")


def test_variables_set_what_a_container_needs() -> None:
    settings = load_oms(
        environ={
            "TRADE_ACCESS": "keys",
            "TRADE_TLS": "{cert: /c.pem, key: /k.pem, client_ca: /ca.pem}",
            "TRADE_PROXIES": "[192.0.2.1, '2001:db8::/32']",
            "TRADE_METRICS_NETWORKS": "[172.16.0.0/12]",
            "TRADE_CA_FILE": "/ca.pem",
        }
    )
    assert settings.access.model_dump(mode="json", exclude={"cli_key", "hosts", "origins"}) == {
        "mode": "keys",
        "tls": {"cert": "/c.pem", "key": "/k.pem", "client_ca": "/ca.pem"},
        "proxies": ["192.0.2.1/32", "2001:db8::/32"],
        "metrics_networks": ["172.16.0.0/12"],
    }
    assert settings.peers.ca_file == Path("/ca.pem")
    assert load_oms(environ={"TRADE_TLS": "proxied"}).access.tls == "proxied"
    with pytest.raises(ConfigError, match=r"^TRADE_TLS: access\.tls: must be 'proxied'"):
        load_oms(environ={"TRADE_TLS": "on"})


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"TRADE_HOST": "0.0.0.0"}, "access.tls"),
        ({"TRADE_ACCESS": "open", "TRADE_HOST": "0.0.0.0"}, "access.mode"),
        ({"TRADE_ACCESS": "open", "TRADE_TLS": "proxied"}, "access.mode"),
        ({"TRADE_TLS": "{cert: /none/c.pem, key: /none/k.pem}"}, "access.tls.key"),
    ],
)
def test_a_service_that_would_be_too_open_ends_at_its_start(environment: dict[str, str], key: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "apps.oms"], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert f"{key}: " in ended.stderr


def test_a_stack_that_names_no_mode_has_keys_if_a_venue_of_its_catalogue_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRADE_VENUES", raising=False)
    assert usual_access(None) == usual_access(tmp_path) == "open"
    (tmp_path / "venues.yaml").write_text(yaml.safe_dump({"venues": PLAIN}))
    assert usual_access(tmp_path) == "keys"
    venues(tmp_path, PLAIN, monkeypatch)
    assert usual_access(None) == "keys"
    (tmp_path / "venues.yaml").write_text("venues: [")
    assert usual_access(tmp_path) == "open", "the services end, and name the fault"
