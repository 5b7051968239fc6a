"""The gateway of the page: what it passes on and what it does not, to whom, and what a service's silence means."""

import base64
import json
import socket
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.desk.gateway import offered
from apps.desk.peer import Peer, peers_at
from apps.http.access import Access
from apps.http.app import serve
from apps.http.credentials import signed_text
from apps.http.route_scopes import TABLES
from apps.http.tls import context_to_peers, server_context
from config.loading import SERVICES as SETTINGS
from config.sections import AccessSection, PeersSection
from tests.apps.authority_of_certificates import CertificateAuthority
from tests.apps.desk_house import LOCAL, ORDER, bearer, desk_house, raw, said


async def test_a_request_is_passed_on_whole_with_the_callers_own_credentials_and_none_of_desks() -> None:
    async with desk_house() as house, house.client() as client:
        key = house.key("erin")
        answer = await client.post("/api/oms/orders", json=ORDER, headers={**bearer(key), "idempotency-key": "i1"})
        asked = answer.json()
        assert (answer.status_code, asked["method"], asked["path"], asked["owner"]) == (200, "POST", "/orders", "erin")
        assert json.loads(asked["body"]) == ORDER
        assert asked["headers"] == {
            "accept": "*/*",
            "accept-encoding": "identity",
            "authorization": f"Bearer {key}",
            "content-length": str(len(asked["body"])),
            "content-type": "application/json",
            "host": f"{LOCAL}:{house.ports['oms']}",
            "idempotency-key": "i1",
            "x-forwarded-for": LOCAL,
        }


@pytest.mark.parametrize("scheme", ["bearer", "basic", "apca"])
async def test_every_form_of_a_key_is_known_to_the_service_too(scheme: str) -> None:
    async with desk_house() as house, house.client() as client:
        key = house.key("erin")
        key_id, _, secret = key.partition(".")
        shown = {
            "bearer": bearer(key),
            "basic": {"authorization": "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()},
            "apca": {"apca-api-key-id": key_id, "apca-api-secret-key": secret},
        }[scheme]
        assert (await client.get("/api/oms/orders", headers=shown)).json()["owner"] == "erin"


@pytest.mark.parametrize(
    ("method", "path", "service", "there"),
    [
        ("GET", "/api/oms/orders?account=alice&limit=5", "oms", "/orders?account=alice&limit=5"),
        ("HEAD", "/api/oms/orders", "oms", "/orders"),
        ("PATCH", "/api/oms/orders/o1", "oms", "/orders/o1"),
        ("DELETE", "/api/oms/orders/o1", "oms", "/orders/o1"),
        ("GET", "/api/oms%2forders", "oms", "/orders"),
        ("GET", "/api/exeq/venues", "exeq", "/venues"),
        ("GET", "/api/exeq/health", "exeq", "/health"),
        ("GET", "/api/live-gateway/quotes/BTC%2FUSD", "live-gateway", "/quotes/BTC/USD"),
        ("GET", "/api/live-gateway/quotes/A%252fB%20C%C3%A9%3F", "live-gateway", "/quotes/A%252fB%20C%C3%A9%3F"),
        ("GET", "/api/oms/orders?text=%2e%2e%2f&x=//evil", "oms", "/orders?text=%2e%2e%2f&x=//evil"),
    ],
)
async def test_the_service_gets_the_path_that_was_checked(method: str, path: str, service: str, there: str) -> None:
    async with desk_house() as house, house.client() as client:
        key = house.key("ops", "trade", "read", "ops")
        answer = await client.request(method, path, headers=bearer(key), json={} if method in ("PATCH",) else None)
        assert answer.status_code == 200, answer.text
        (asked,) = house.services[service].asked
        assert asked["raw_path"] + ("?" + asked["query"] if asked["query"] else "") == there
        assert asked["method"] == ("GET" if method == "HEAD" else method)


async def test_put_is_passed_on() -> None:
    async with desk_house() as house, house.client() as client:
        answer = await client.put("/api/risk/risk/limits/alice", json={}, headers=bearer(house.key("rita", "risk", account="*")))
        assert said(answer) == (404, "not_found")  # of this house's risk, which has /access alone
        assert house.gateway.passed["risk"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/projector/health",
        "/api/desk/health",
        "/api/nats/health",
        "/api/oms",
        "/api/oms/",
        "/api//oms/orders",
        "/api/oms//orders",
        "/api/oms//evil.example/orders",
        "/api/oms/../risk/risk/kill",
        "/api/oms/..%2frisk/risk/limits",
        "/api/oms/%2e%2e/risk/limits",
        "/api/oms/orders/%2e%2e/%2e%2e/health",
        "/api/oms/orders/..",
        "/api/live-gateway/quotes/..%2f..%2fhealth",
        "/api/live-gateway/quotes/%5c%5cevil",
        "/api/live-gateway/quotes/a%0d%0aHost:%20evil",
        "/api/live-gateway/quotes/a%00",
        "/api/oms/http://evil.example/",
        "/api/http://evil.example/orders",
        "/api/oms@evil.example/orders",
        "/api/oms/docs",
        "/api/oms/docs/start.js",
        "/api/risk/access/keys",
        "/api/risk/access/sessions",
        "/api/risk/access/log",
        "/api/oms/nothing",
    ],
)
async def test_no_path_leads_out_of_the_routes_of_a_known_service(path: str) -> None:
    async with desk_house() as house:
        key = house.key("ada", "admin", "ops", "audit", "risk", account="*")
        status, _ = await raw(house, f"GET {path} HTTP/1.1\nhost: {LOCAL}\nauthorization: Bearer {key}")
        assert status in (404, 405), path
        assert not house.gateway.passed.total()
        assert not any(service.asked for service in house.services.values())


async def test_a_whole_address_as_the_target_is_the_path_of_desk_and_no_proxy() -> None:
    async with desk_house() as house:
        key = house.key()
        with socket.create_server((LOCAL, 0)) as evil:
            address = f"http://{LOCAL}:{evil.getsockname()[1]}"
            evil.settimeout(0.2)
            assert (await raw(house, f"GET {address}/api/oms/orders HTTP/1.1\nhost: {LOCAL}\nauthorization: Bearer {key}"))[0] == 200
            status, _ = await raw(house, f"GET {address}/orders HTTP/1.1\nhost: {LOCAL}\nauthorization: Bearer {key}")
            assert status == 404
            with pytest.raises(TimeoutError):
                evil.accept()
        assert [each["headers"]["host"] for each in house.oms.asked] == [f"{LOCAL}:{house.ports['oms']}"]


async def test_a_method_that_the_service_does_not_have_is_405_with_those_it_has() -> None:
    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        answer = await client.put("/api/oms/orders", json={})
        assert said(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "DELETE, GET, HEAD, POST"
        assert (await client.options("/api/oms/orders")).status_code == 405
        assert not house.oms.asked


async def test_headers_that_speak_for_another_or_for_the_connection_end_at_desk() -> None:
    async with desk_house() as house, house.page() as page:
        sent = {
            **bearer(house.key()),
            "x-forwarded-for": "10.9.9.9",
            "x-forwarded-host": "evil.example",
            "forwarded": "for=10.9.9.9",
            "x-real-ip": "10.9.9.9",
            "cookie": "other=1",
            "referer": f"{house.url}/",
            "connection": "keep-alive, x-forwarded-for",
            "te": "trailers",
            "proxy-authorization": "Basic x",
        }
        answer = await page.post("/api/oms/orders", json=ORDER, headers=sent)
        got = answer.json()["headers"]
        assert got["x-forwarded-for"] == LOCAL
        assert got.keys().isdisjoint({"origin", "cookie", "referer", "connection", "te", "x-trade-desk", "sec-fetch-site", "x-real-ip"})
        assert got.keys().isdisjoint({"forwarded", "x-forwarded-host", "proxy-authorization"})


async def test_an_answer_brings_no_cookie_and_each_fixed_header_once() -> None:
    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        answer = await client.get("/api/oms/orders")
        assert "set-cookie" not in answer.headers
        assert answer.headers["as-of-seq"] == "7"
        for name in ("x-content-type-options", "x-frame-options", "cache-control", "content-security-policy", "x-ratelimit-limit"):
            assert len(answer.headers.get_list(name)) == 1, name
        assert answer.headers["cache-control"] == "no-store"
        assert "sandbox" in answer.headers["content-security-policy"]


async def test_the_guard_comes_first_and_the_service_judges_again() -> None:
    async with desk_house() as house, house.client() as client:
        reads = bearer(house.key("rob", "read"))
        assert said(await client.get("/api/oms/orders")) == (401, "unauthorized")
        assert said(await client.get("/api/oms/nothing")) == (401, "unauthorized")
        assert said(await client.get("/api/oms/orders", headers={**reads, "host": "evil.example"})) == (421, "host_unknown")
        assert said(await client.get("/api/oms/orders", headers={**reads, "origin": "http://evil.example"})) == (403, "origin_refused")
        plain = {**reads, "content-type": "text/plain", "origin": house.url}
        assert said(await client.post("/api/oms/orders", content="{}", headers=plain)) == (415, "json_wanted")
        assert not house.oms.asked
        refused = await client.post("/api/oms/orders", json=ORDER, headers=reads)
        assert (said(refused), refused.json()["needs"]) == ((403, "scope_missing"), "trade")
        assert not house.oms.asked  # its guard refused
        assert house.gateway.passed["oms"] == 1
        preflight = {"origin": "http://evil.example", "access-control-request-method": "POST"}
        answer = await client.options("/api/oms/orders", headers=preflight)
        assert (answer.status_code, [name for name in answer.headers if name.startswith("access-control")]) == (403, [])


async def test_in_open_mode_a_program_of_this_machine_needs_no_key() -> None:
    async with desk_house("open") as house, house.client() as client:
        assert (await client.post("/api/oms/orders", json=ORDER)).json()["owner"] == "local"
        assert "authorization" not in house.oms.asked[0]["headers"]
        assert said(await client.get("/api/oms/orders", headers=bearer("PKNO.trk_no"))) == (401, "unauthorized")


async def test_a_signature_is_refused_with_the_way_to_go_instead() -> None:
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    async with desk_house() as house, house.client() as client:
        key_id = house.key("sig", public_key=public, digest="").partition(".")[0]
        now = str(time.time_ns() // 1_000_000)
        for path in ("/api/oms/orders", "/orders"):
            signature = private.sign(signed_text("GET", path, now, path, b""))
            headers = {"trade-key": key_id, "trade-time": now, "trade-nonce": path}
            answer = await client.get(
                "/api/oms/orders", headers={**headers, "trade-signature": base64.b64encode(signature).decode("ascii")}
            )
            assert said(answer) == (400, "signature_not_passed_on")
            assert "directly" in answer.json()["detail"]
        assert not house.oms.asked


async def test_a_body_above_64_kb_is_refused() -> None:
    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        assert said(await client.post("/api/oms/orders", json={"x": "y" * 70_000})) == (413, "body_too_large")
        assert not house.oms.asked


async def test_a_service_over_tls_is_asked_only_if_the_named_authority_signed_it(tmp_path: Path) -> None:
    signer = CertificateAuthority(tmp_path)
    cert, private = signer.signs("oms")
    context = server_context(AccessSection.model_validate({"tls": {"cert": cert, "key": private}}))
    verify = context_to_peers(SETTINGS["risk"].model_validate({"peers": {"ca_file": signer.file}}))
    async with desk_house() as house, house.client(**bearer(house.key())) as client:
        oms = await serve(house.oms, LOCAL, 0, Access(), house.authority("oms"), tls=context)
        for trusted, status in ((verify, 200), (True, 503)):
            own, house.peers["oms"] = house.peers["oms"], Peer("oms", f"https://localhost:{oms.port}", trusted)
            assert (await client.post("/api/oms/orders", json=ORDER)).status_code == status
            await house.peers["oms"].close()
            house.peers["oms"] = own
        await oms.stop()


def test_the_gateway_reaches_the_four_services_and_passes_on_no_keys_and_no_pages() -> None:
    assert list(peers_at(PeersSection(), True)) == ["oms", "risk", "exeq", "live-gateway"]
    for service in peers_at(PeersSection(), True):
        assert set(TABLES[service]) - set(offered(TABLES[service])) == {
            (method, path) for method, path in TABLES[service] if path.startswith(("/docs", "/access/")) and path != "/access/me"
        }
