"""Signing in at the page: a key becomes a cookie that counts at desk alone, for the page alone, for as long as the session does."""

import json
import socket
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx
import pytest

from apps.desk import session as sessions
from apps.desk.peer import Peer
from apps.desk.session import secure_cookies
from apps.http.credentials import digest
from apps.http.session_cookie import COOKIE, SERVICES
from apps.runtime.chassis import Chassis
from config.loading import SERVICES as SETTINGS
from config.sections import AccessSection
from domain.access.events import KeyRevoked
from tests.apps.desk_house import LOCAL, ORDER, PAGE, DeskHouse, bearer, desk_house, said

LISTED: Final = "http://listed.example"


async def signed_in(page: httpx.AsyncClient, key: str) -> httpx.Response:
    answer = await page.post("/session", json={"key": key})
    assert answer.status_code == 200, answer.text
    return answer


def token_in(answer: httpx.Response) -> str:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE].value


async def test_a_key_becomes_a_cookie_that_scripts_cannot_read() -> None:
    async with desk_house() as house, house.page() as page:
        key = house.key("erin")
        answer = await signed_in(page, key)
        token, cookie = token_in(answer), answer.headers["set-cookie"]
        assert token.startswith("trs_")
        assert cookie.startswith(f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Max-Age=")
        assert 890 <= int(cookie.rpartition("=")[2]) <= 900
        shown = answer.json()
        assert (shown["signed_in"], shown["owner"], shown["account"], shown["scopes"]) == (
            True,
            "erin",
            "alice",
            ["read", "cancel", "trade"],
        )
        assert shown["expires_at"]
        assert token not in answer.text
        assert key.partition(".")[2] not in answer.text + str(answer.headers)
        assert (await page.get("/session")).json() == shown


@pytest.mark.parametrize(("tls", "secure"), [({}, False), ({"tls": "proxied"}, True), ({"tls": {"cert": "c", "key": "k"}}, True)])
async def test_the_cookie_is_for_tls_where_there_is_tls(tls: dict[str, Any], secure: bool) -> None:
    found = secure_cookies(AccessSection.model_validate(tls))
    assert found is secure
    async with desk_house(secure=found) as house, house.page() as page:
        assert ("; Secure" in (await signed_in(page, house.key())).headers["set-cookie"]) is secure


async def test_behind_a_prefix_the_cookie_is_for_the_page_alone() -> None:
    """Without Path it is for the folder of the address that set it, as the browser sees it."""
    async with desk_house() as house, house.page() as page:
        answer = await signed_in(page, house.key())
        assert "path" not in answer.headers["set-cookie"].lower()
        jar = httpx.Cookies()
        answer.request = httpx.Request("POST", "http://proxy.example/desk/session")
        jar.extract_cookies(answer)
        assert [each.path for each in jar.jar] == ["/desk"]


async def test_the_page_acts_as_its_user_through_the_gateway() -> None:
    async with desk_house() as house, house.page() as page:
        token = token_in(await signed_in(page, house.key("erin")))
        asked = (await page.post("/api/oms/orders", json=ORDER)).json()
        assert (asked["owner"], asked["headers"]["authorization"]) == ("erin", f"Bearer {token}")
        assert "cookie" not in asked["headers"]
        assert (await page.get("/api/oms/orders")).json()["owner"] == "erin"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "SELF"},
        {"x-trade-desk": "1"},
        {"x-trade-desk": "1", "sec-fetch-site": "same-origin"},
        {"origin": LISTED, "x-trade-desk": "1"},
    ],
)
@pytest.mark.parametrize("mode", ["open", "keys"])
async def test_a_change_that_the_page_did_not_make_is_refused_and_never_taken_for_another_user(mode: Any, headers: dict[str, str]) -> None:
    async with desk_house(mode) as house, house.page() as page, house.client() as other:
        token = token_in(await signed_in(page, house.key()))
        sent = {name: value.replace("SELF", house.url) for name, value in headers.items()} | {"cookie": f"{COOKIE}={token}"}
        assert said(await other.post("/api/oms/orders", json=ORDER, headers=sent)) == (403, "origin_refused")
        assert said(await other.delete("/session", headers=sent)) == (403, "origin_refused")
        assert not house.oms.asked
        assert len(house.keys.sessions) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": LISTED},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
async def test_a_cookie_that_another_page_caused_to_be_sent_reads_nothing(headers: dict[str, str]) -> None:
    async with desk_house("open") as house, house.page() as page, house.client() as other:
        token = token_in(await signed_in(page, house.key()))
        answer = await other.get("/api/oms/orders", headers={**headers, "cookie": f"{COOKIE}={token}"})
        assert said(answer) == (403, "origin_refused")
        assert not house.oms.asked


async def test_no_other_service_knows_the_cookie() -> None:
    async with desk_house() as house, house.page() as page:
        token = token_in(await signed_in(page, house.key()))
        for service in ("oms", "risk", "exeq", "live-gateway"):
            own = f"http://{LOCAL}:{house.ports[service]}"
            headers = {"cookie": f"{COOKIE}={token}", "origin": own, **PAGE}
            async with httpx.AsyncClient() as client:
                assert said(await client.get(f"{own}/access/me", headers=headers)) == (401, "unauthorized"), service


async def test_of_all_services_desk_alone_is_built_to_take_cookies() -> None:
    found = {name: Chassis(settings.model_validate({})).authority.takes_cookies for name, settings in SETTINGS.items()}
    assert {name for name, takes in found.items() if takes} <= {"desk"}
    assert set(SERVICES) == {"desk"}


async def test_a_key_in_a_header_wins_over_the_cookie() -> None:
    async with desk_house() as house, house.page() as page:
        await signed_in(page, house.key("erin"))
        assert (await page.get("/api/oms/orders", headers=bearer(house.key("bob")))).json()["owner"] == "bob"


@pytest.mark.parametrize("cookie", ["trs_", "x", "PKX.trk_secret", "trs_a b", 'trs_"', "trs_é", "trs_" + "x" * 300, "trs_never"])
@pytest.mark.parametrize("mode", ["open", "keys"])
async def test_a_cookie_that_is_no_token_of_ours_opens_nothing(mode: Any, cookie: str) -> None:
    async with desk_house(mode) as house:
        sent = {b"host": LOCAL.encode(), b"cookie": f"{COOKIE}={cookie}".encode()}
        async with httpx.AsyncClient() as client:
            assert said(await client.get(f"{house.url}/session", headers=sent)) == (401, "unauthorized")
            assert said(await client.get(f"{house.url}/api/oms/orders", headers=sent)) == (401, "unauthorized")


async def test_two_cookies_of_the_name_are_none() -> None:
    """Another program of the same host can set one; which of the two is the page's own cannot be known."""
    async with desk_house() as house, house.page() as page:
        token = token_in(await signed_in(page, house.key()))
        page.cookies.clear()
        for cookies in (f"{COOKIE}={token}; {COOKIE}=trs_other", f"{COOKIE}=trs_other; a=b; {COOKIE}={token}"):
            assert said(await page.get("/session", headers={"cookie": cookies})) == (401, "unauthorized")
        assert (await page.get("/session", headers={"cookie": f"a=b; {COOKIE}={token}; c"})).status_code == 200


async def test_signing_out_ends_the_session_and_the_cookie() -> None:
    async with desk_house() as house, house.page() as page:
        token = token_in(await signed_in(page, house.key()))
        answer = await page.delete("/session")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["set-cookie"] == f"{COOKIE}=; HttpOnly; SameSite=Strict; Max-Age=0"
        assert not house.keys.sessions
        assert said(await page.get("/session")) == (401, "unauthorized")
        assert said(await page.get("/session", headers={"cookie": f"{COOKIE}={token}"})) == (401, "unauthorized")
        assert (await page.delete("/session")).status_code == 204


async def test_a_cookie_that_is_over_is_cleared_without_asking_anyone() -> None:
    async with desk_house() as house, house.page() as page:
        asked = house.risk.access.target
        for cookie in ("trs_unknown", "trs_ nonsense"):
            answer = await page.delete("/session", headers={"cookie": f"{COOKIE}={cookie}"})
            assert (answer.status_code, "Max-Age=0" in answer.headers["set-cookie"]) == (204, True)
        assert house.risk.access.target == asked


async def test_a_session_ends_with_its_time_and_with_its_key() -> None:
    async with desk_house() as house, house.page() as page:
        key = house.key()
        await signed_in(page, key)
        house.risk.clock.later(15 * 60)
        assert said(await page.get("/api/oms/orders")) == (401, "unauthorized")
        page.cookies.clear()
        await signed_in(page, key)
        house.keys.apply(KeyRevoked(version=99, at=house.risk.clock.now_ns(), who="operator", key_id=key.partition(".")[0]))
        assert said(await page.get("/api/oms/orders")) == (401, "unauthorized")


async def test_a_session_that_is_used_is_renewed_with_the_same_cookie_and_no_token_in_the_answer() -> None:
    async with desk_house() as house, house.page() as page:
        first = await signed_in(page, house.key())
        house.risk.clock.later(10 * 60)
        assert 295 <= (await page.get("/session")).json()["expires_in_sec"] <= 300
        again = await page.patch("/session")
        assert (again.status_code, token_in(again)) == (200, token_in(first))
        assert 890 <= again.json()["expires_in_sec"] <= 900
        assert 890 <= int(again.headers["set-cookie"].rpartition("=")[2]) <= 900
        assert token_in(first) not in again.text
        assert [each.path for each in page.cookies.jar] == ["/"]  # one, for the whole page
        house.risk.clock.later(10 * 60)
        assert (await page.get("/api/oms/orders")).status_code == 200
        house.risk.clock.later(6 * 60)
        assert said(await page.patch("/session")) == (401, "unauthorized")


async def test_a_renewal_by_a_second_tab_soon_after_the_first_one_changes_nothing() -> None:
    async with desk_house() as house, house.page() as page:
        until = (await signed_in(page, house.key())).json()["expires_at"]
        house.risk.clock.later(2 * 60)
        again = await page.patch("/session")
        assert (again.status_code, again.json()["expires_at"]) == (200, until)


async def test_no_other_caller_renews_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk_house() as house, house.page() as page, house.client() as other:
        key = house.key()
        token = token_in(await signed_in(page, key))
        forged = await other.patch("/session", headers={"cookie": f"{COOKIE}={token}", "origin": LISTED, **PAGE})
        assert said(forged) == (403, "origin_refused")
        assert said(await other.patch("/session", headers=bearer(key))) == (404, "session_not_found")
        gone = without_risk(house, monkeypatch)
        answer = await page.patch("/session")
        assert (said(answer), "set-cookie" in answer.headers) == ((503, "service_unavailable"), False)
        assert (await page.get("/session")).status_code == 200
        await gone.close()


async def test_a_token_starts_no_other_session() -> None:
    async with desk_house() as house, house.page() as page:
        first = await signed_in(page, house.key())
        assert said(await page.post("/session", json={"key": token_in(first)})) == (400, "malformed")
        assert said(await page.post("/api/risk/access/sessions")) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"key": "PK22222222222222222222.trk_wrong"}, 400),
        ({"key": "PKAAAAAAAAAAAAAAAAAA.trk_wrong"}, 401),
        ({"key": "PKAAAAAAAAAAAAAAAAAA.trk_wrong\r\nx: y"}, 400),
        ({"key": "PKAAAAAAAAAAAAAAAAAA." + "x" * 600}, 400),
        ({"key": ""}, 400),
        ({"key": 7}, 400),
        ({"key": None}, 400),
        ({}, 400),
        ({"key": "PKAAAAAAAAAAAAAAAAAA.trk_wrong", "account": "bob"}, 400),
        ([], 400),
    ],
)
async def test_what_is_no_key_signs_no_user_in_and_is_not_repeated_in_the_answer(body: Any, status: int) -> None:
    async with desk_house("open") as house, house.page() as page:
        answer = await page.post("/session", json=body)
        assert (answer.status_code, "set-cookie" in answer.headers, "trk_wrong" in answer.text) == (status, False, False)
        assert not house.keys.sessions


async def test_guesses_are_slowed_by_desk_and_never_reach_risk() -> None:
    async with desk_house() as house, house.page() as page:
        found = [said(await page.post("/session", json={"key": "PKAAAAAAAAAAAAAAAAAA.trk_wrong"})) for _ in range(22)]
        assert set(found) == {(401, "unauthorized"), (429, "rate_limited")}
        await signed_in(page, house.key())  # a valid key passes


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}]
)
async def test_another_page_signs_no_user_in(headers: dict[str, str]) -> None:
    async with desk_house() as house, house.client() as client:
        answer = await client.post("/session", json={"key": house.key()}, headers=headers)
        assert answer.status_code in (403, 421)
        assert "set-cookie" not in answer.headers


async def test_in_open_mode_the_local_caller_is_shown() -> None:
    async with desk_house("open") as house, house.page() as page:
        shown = (await page.get("/session")).json()
        assert (shown["signed_in"], shown["owner"], shown["account"], shown["expires_at"]) == (False, "local", "*", None)
        await signed_in(page, house.key("erin"))
        assert (await page.get("/session")).json()["owner"] == "erin"


async def test_without_a_key_no_user_is_signed_in() -> None:
    async with desk_house() as house, house.page() as page:
        assert said(await page.get("/session")) == (401, "unauthorized")


def without_risk(house: DeskHouse, monkeypatch: pytest.MonkeyPatch) -> Peer:
    """Put risk at an address where nothing listens."""
    with socket.create_server((LOCAL, 0)) as free:
        gone = Peer("risk", f"http://{LOCAL}:{free.getsockname()[1]}", True)
    monkeypatch.setattr(house.peers["risk"], "asked", gone.asked)
    return gone


async def test_while_risk_is_away_no_user_signs_in_and_signing_out_clears_the_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk_house() as house, house.page() as page:
        key = house.key()
        await signed_in(page, key)
        gone = without_risk(house, monkeypatch)
        answer = await page.post("/session", json={"key": key})
        assert (said(answer), answer.json()["service"], "set-cookie" in answer.headers) == ((503, "service_unavailable"), "risk", False)
        answer = await page.delete("/session")
        assert said(answer) == (503, "service_unavailable")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert answer.json()["expires_at"]
        await gone.close()


async def test_a_session_that_desk_does_not_know_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "KNOWN_POLLS_MAX", 3)
    async with desk_house() as house, house.page() as page:
        key = house.key()
        monkeypatch.setattr(sessions, "digest", lambda token: digest(token + b"another"))
        answer = await page.post("/session", json={"key": key})
        assert (said(answer), "set-cookie" in answer.headers) == ((503, "access_unknown"), False)


async def test_what_risk_refuses_is_refused_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.risk.key_sessions.SESSIONS_OF_A_KEY_MAX", 0)
    async with desk_house() as house, house.page() as page:
        answer = await page.post("/session", json={"key": house.key()})
        assert (said(answer), answer.headers["retry-after"]) == ((429, "rate_limited"), "60")


async def test_the_routes_of_sessions_are_in_the_description() -> None:
    async with desk_house() as house, house.client() as client:
        paths = json.loads((await client.get("/openapi.json")).text)["paths"]
        assert set(paths) == {"/session"}
        assert set(paths["/session"]) == {"get", "post", "patch", "delete"}
