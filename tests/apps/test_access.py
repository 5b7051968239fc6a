"""Host, Origin and content type before any handler: what each header may say, on a port of its own and by configuration."""

from typing import Any

import pytest

from apps.http.access import HOST_UNKNOWN, JSON_WANTED, ORIGIN_REFUSED, Access, own_hosts, watched
from config.loading import SERVICES
from config.settings import Settings

OURS = ("host", "127.0.0.1:8099")
JSON = ("content-type", "application/json")
BODY = ("content-length", "10")
FORM = "application/x-www-form-urlencoded"


def judged(*headers: tuple[str, str], method: str = "POST", access: Access | None = None) -> str | None:
    scope = {"type": "http", "method": method, "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]}
    refusal = (access or Access()).refusal(scope, watched(scope))
    return refusal.code if refusal else None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8099", "localhost", "LocalHost:1", "[::1]", "[::1]:8099"])
def test_loopback_is_ours_with_and_without_a_port(host: str) -> None:
    access = Access()
    for _ in range(2):
        assert judged(("host", host), method="GET", access=access) is None


FOREIGN_HOSTS = [
    *("", ":", ":8099", "evil.example", "evil.example:8099", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:127.0.0.1"),
    *("127.0.0.1@evil.example", "127.0.0.1:80:80", "127.0.0.1:", "127.0.0.1:x", "127.0.0.2", "0.0.0.0", "0.0.0.0:8099", "2130706433"),
    *("[::]", "[::1", "::1", "[::1]x", "[::1]:", "localhost.", " localhost", "localhost ", "oms", "oms:8099", "127.0.0.1, evil.example"),
    *("*", "localh\xf6st"),
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_any_other_host_is_unknown(host: str) -> None:
    access = Access()
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS"):
        assert judged(("host", host), method=method, access=access) == HOST_UNKNOWN.code
    assert access.refused == {"host_unknown": 5, "origin_refused": 0, "json_wanted": 0}


def test_no_host_and_two_hosts_are_unknown() -> None:
    assert judged(method="GET") == HOST_UNKNOWN.code
    assert judged(OURS, OURS, method="GET") == HOST_UNKNOWN.code
    assert judged(OURS, ("host", "evil.example"), method="GET") == HOST_UNKNOWN.code


def test_accepted_hosts_are_remembered_within_a_bound() -> None:
    access = Access()
    for port in range(1000):
        assert judged(("host", f"localhost:{port}"), method="GET", access=access) is None
    assert len(access._spelled) == 64


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8099", "https://127.0.0.1:8099", "HTTP://127.0.0.1:8099"])
def test_our_own_page_may_ask(origin: str) -> None:
    assert judged(OURS, ("origin", origin), ("sec-fetch-site", "same-origin"), BODY, JSON) is None


FOREIGN_ORIGINS = [
    *("null", "", "http://evil.example", "https://evil.example", "http://127.0.0.1", "http://127.0.0.1:3000", "http://localhost:8099"),
    *("http://127.0.0.1:8099.evil.example", "http://127.0.0.1:8099, http://evil.example", "file://", "ftp://127.0.0.1:8099"),
    *("http://127.0.0.1:8099/", "chrome-extension://abcdef"),
]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_any_other_origin_is_refused(method: str, origin: str) -> None:
    assert judged(OURS, ("origin", origin), BODY, JSON, method=method) == ORIGIN_REFUSED.code


def test_two_origins_are_refused() -> None:
    ours = ("origin", "http://127.0.0.1:8099")
    assert judged(OURS, ours, ours, JSON) == ORIGIN_REFUSED.code


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin", "anything", "none,none"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_request_of_another_site_without_an_origin_is_refused(method: str, site: str) -> None:
    assert judged(OURS, ("sec-fetch-site", site), BODY, JSON, method=method) == ORIGIN_REFUSED.code


def test_a_link_of_another_site_may_be_followed_and_nothing_else() -> None:
    navigates = (OURS, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"))
    assert judged(*navigates, ("sec-fetch-dest", "document"), method="GET") is None
    assert judged(*navigates, ("sec-fetch-dest", "document"), method="POST") == ORIGIN_REFUSED.code, "a form that is sent"
    assert judged(*navigates, ("sec-fetch-dest", "iframe"), method="GET") == ORIGIN_REFUSED.code
    assert judged(OURS, ("sec-fetch-site", "none"), method="GET") is None, "an address that was typed"


KINDS: list[tuple[str | None, bool, bool]] = [
    ("application/json", True, True),
    ("Application/JSON; charset=utf-8", True, True),
    ("application/x-www-form-urlencoded", True, False),
    (None, True, False),
    ("text/plain", False, False),
    ("text/plain;application/json", False, False),
    ("multipart/form-data; boundary=x", False, False),
    ("application/json, text/plain", False, False),
    ("application/jsonx", False, False),
    ("application/csp-report", False, False),
    ("", False, False),
]


@pytest.mark.parametrize(("kind", "program", "page"), KINDS)
@pytest.mark.parametrize("length", [BODY, ("transfer-encoding", "chunked"), ("content-length", "00")])
def test_a_body_is_json_or_comes_from_a_program_that_names_no_type(
    kind: str | None, program: bool, page: bool, length: tuple[str, str]
) -> None:
    said = [OURS, length, *([("content-type", kind)] if kind is not None else [])]
    own = ("origin", "http://127.0.0.1:8099")
    for method in ("POST", "PUT", "PATCH", "DELETE", "GET"):
        assert judged(*said, method=method) == (None if program else JSON_WANTED.code)
        assert judged(*said, own, method=method) == (None if page else JSON_WANTED.code)
        assert judged(*said, ("sec-fetch-site", "same-origin"), method=method) == (None if page else JSON_WANTED.code)


def test_what_has_no_body_needs_no_content_type() -> None:
    assert judged(OURS) is None
    assert judged(OURS, ("content-length", "0"), ("content-type", "text/plain")) is None


def test_in_keys_mode_programs_name_json_too() -> None:
    access = Access(json_only=True)
    assert [judged(OURS, BODY, *kind, access=access) for kind in ([JSON], [("content-type", FORM)], [])] == [None, *[JSON_WANTED.code] * 2]
    assert judged(OURS, access=access) is None


def test_what_is_configured_is_ours_as_well() -> None:
    access = Access(["trade.example", "[2001:db8::1]"], ["https://desk.example"])
    assert judged(("host", "Trade.example:443"), method="GET", access=access) is None
    assert judged(("host", "[2001:db8::1]:8099"), method="GET", access=access) is None
    assert (
        judged(("host", "trade.example"), ("origin", "https://desk.example"), ("sec-fetch-site", "cross-site"), BODY, JSON, access=access)
        is None
    )
    assert judged(("host", "trade.example"), ("origin", "http://desk.example"), BODY, JSON, access=access) == ORIGIN_REFUSED.code


LISTENS: list[tuple[str, tuple[str, ...]]] = [
    ("127.0.0.1", ("127.0.0.1",)),
    ("127.0.0.9", ("127.0.0.9",)),
    ("::1", ("[::1]",)),
    ("localhost", ("localhost",)),
    ("0.0.0.0", ("oms",)),
    ("::", ("oms",)),
    ("10.0.0.7", ("10.0.0.7", "oms")),
    ("2001:db8::1", ("[2001:db8::1]", "oms")),
    ("trading", ("trading", "oms")),
]


@pytest.mark.parametrize(("listens", "names"), LISTENS)
def test_beyond_loopback_a_service_is_asked_by_its_address_and_its_name(listens: str, names: tuple[str, ...]) -> None:
    assert own_hosts(listens, "oms") == names


def settings_of(name: str, **changes: Any) -> Settings:
    return SERVICES[name].model_validate(changes)


@pytest.mark.parametrize("service", SERVICES)
def test_containers_and_prometheus_ask_by_the_service_name_and_a_page_of_loopback_cannot(service: str) -> None:
    in_container = Access.of(settings_of(service, service={"host": "0.0.0.0"}))
    for host in (service, f"{service}:9099", "127.0.0.1:8099", "localhost:8099"):
        assert judged(("host", host), method="GET", access=in_container) is None
    at_home = Access.of(settings_of(service))
    assert judged(("host", service), method="GET", access=at_home) == HOST_UNKNOWN.code
    listed = Access.of(settings_of(service, access={"hosts": ["a.example"], "origins": ["https://b.example"]}))
    assert judged(("host", "a.example"), ("origin", "https://b.example"), BODY, JSON, access=listed) is None


def test_programs_send_json_too_wherever_keys_are_needed_whether_or_not_the_configuration_says_so() -> None:
    curl = (OURS, BODY, ("content-type", FORM))
    assert judged(*curl, access=Access.of(settings_of("oms"))) is None
    for settings in (settings_of("oms", access={"mode": "keys"}), settings_of("oms", service={"host": "0.0.0.0"})):
        assert judged(*curl, access=Access.of(settings)) == JSON_WANTED.code


@pytest.mark.parametrize("host", ["*", "*.example", "a.example:80", "http://a.example", "", "::1", "a b", "[::1"])
def test_an_invalid_host_is_refused_by_the_configuration(host: str) -> None:
    with pytest.raises(ValueError, match="without a port"):
        settings_of("oms", access={"hosts": [host]})


@pytest.mark.parametrize(
    "origin", ["*", "null", "a.example", "https://a.example/", "https://*.example", "ftp://a.example", "https://a.example:x"]
)
def test_an_invalid_origin_is_refused_by_the_configuration(origin: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        settings_of("oms", access={"origins": [origin]})
