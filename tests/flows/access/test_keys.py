"""Keys of a whole stack: how they are shown, signed, turned and ended, what they may do, and what is recorded of them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.stack import stack
from apps.stack.services import SECRETS
from domain.values import order_id_of
from tests.flows.access.bert import Bert, questions
from tests.flows.access.tenants import (
    ABSENT,
    ANNA,
    BERT,
    SCOPE_MISSING,
    UNAUTHORIZED,
    Headers,
    House,
    Made,
    Signer,
    as_json,
    bearer,
    plain,
    raw,
    shown,
)
from tests.stack import SERVICES

# Credentials


def wrong(key: Made) -> dict[str, Headers]:
    """What looks like credentials and is none."""
    token, flipped = f"{key.key_id}.{key.secret}", key.secret[:-1] + ("A" if key.secret[-1] != "A" else "B")
    return {
        "empty": {"authorization": ""},
        "no secret": bearer(key.key_id),
        "an empty secret": bearer(f"{key.key_id}."),
        "no key id": bearer(f".{key.secret}"),
        "a wrong checksum": bearer(f"{key.key_id}.{flipped}"),
        "the id in lower case": bearer(f"{key.key_id.lower()}.{key.secret}"),
        "the secret in upper case": bearer(f"{key.key_id}.{key.secret.upper()}"),
        "huge": bearer("x" * 8000),
        "an unknown kind": {"authorization": f"Digest {token}"},
        "two of a kind": {"authorization": f"Bearer {token}, Bearer {token}"},
        "two kinds": {**key.headers, **key.apca},
        "half a pair": {"apca-api-key-id": key.key_id},
        "the other half": {"apca-api-secret-key": key.secret},
        "half a signature": {"trade-key": key.key_id},
        "a secret and a signature": {**key.headers, "trade-key": key.key_id},
        "invalid base64": {"authorization": "Basic %%%"},
        "NUL in base64": {"authorization": "Basic " + "AA" * 10 + "=="},
    }


def test_a_key_may_be_shown_in_three_ways(house: House, anna: Made) -> None:
    for service in SERVICES:
        for who in (anna.headers, anna.basic, anna.apca):
            assert house.done(service, "GET", "/access/me", who)["key_id"] == anna.key_id


def test_whatever_is_wrong_with_credentials_there_is_one_answer(house: House, anna: Made) -> None:
    plainly = shown(house.ask("oms", "GET", "/orders"), "@")
    for number, (name, who) in enumerate(wrong(anna).items()):
        answer = house.ask("oms", "GET", "/orders", who, at=f"127.0.1.{number + 1}")
        assert shown(answer, "@") == plainly, name
    repeated = plain("GET", "/orders", anna.headers, b"", f"authorization: Bearer {anna.key_id}.{anna.secret}")
    beyond = plain("GET", "/orders", {"authorization": "Bearer \xfc\xff.\xe9"})
    for request in (repeated, beyond):
        assert [(status, body.decode()) for status, body in raw(house.port("oms"), request)] == [(401, plainly[1])]


def test_an_address_that_fails_too_often_waits_and_its_valid_keys_do_not(house: House, anna: Made, signer: Signer) -> None:
    failing, other, me = "127.0.0.77", "127.0.0.2", ("projector", "GET", "/access/me")
    answers = [house.ask(*me, bearer("x.y"), at=failing) for _ in range(30)]
    assert [answer.status_code for answer in answers[:20]] == [401] * 20
    signed = set()
    for _ in range(10):  # a failure a second is forgiven, which may be between two requests
        while (over := house.ask(*me, bearer("x.y"), at=failing)).status_code != 429:
            assert over.status_code == 401
        assert int(over.headers["retry-after"]) >= 1
        signed.add(house.ask(*me, signer.headers("GET", "/access/me"), at=failing).status_code)
    assert 429 in signed
    assert house.done(*me, anna.headers, at=failing)["owner"] == "ann-owner"
    assert house.done(*me, signer.headers("GET", "/access/me"), at=other)["owner"] == "sig-owner"


# Signatures and sessions


def test_a_signed_request_works_at_every_service(house: House, signer: Signer) -> None:
    for service in SERVICES:
        assert house.done(service, "GET", "/access/me", signer.headers("GET", "/access/me"))["key_id"] == signer.key_id
    body = as_json({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000", "client_order_id": "signed"})
    who = signer.headers("POST", "/orders", body)
    answer = house.ask("oms", "POST", "/orders", who, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert house.refused("oms", "POST", "/orders", who, content=body, headers={"content-type": "application/json"}) == UNAUTHORIZED
    chunked = as_json({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000", "client_order_id": "chunked"})
    pieces = iter([chunked[:10], chunked[10:]])
    signed = signer.headers("POST", "/orders", chunked) | {"content-type": "application/json"}
    assert house.ask("oms", "POST", "/orders", signed, content=pieces).status_code == 200
    for path in ("/orders?limit=1&status=open", "/orders?symbol=BTC%2FUSD&limit=2"):
        assert house.ask("oms", "GET", path, signer.headers("GET", path)).status_code == 200


def earlier(signed: Headers) -> Headers:
    """The same a millisecond before it was signed. The time of now, less one, may be the time of the signature."""
    return signed | {"trade-time": str(int(signed["trade-time"]) - 1)}


def test_a_signature_is_for_one_request(house: House, signer: Signer) -> None:
    path, body = "/orders?limit=1", b'{"price":1}'
    changed: dict[str, tuple[str, str, bytes, Headers]] = {
        "the method": ("DELETE", path, b"", signer.headers("GET", path)),
        "the path": ("GET", "/orders/x?limit=1", b"", signer.headers("GET", path)),
        "the query": ("GET", "/orders?limit=2", b"", signer.headers("GET", path)),
        "a query more": ("GET", path + "&", b"", signer.headers("GET", path)),
        "the spelling": ("GET", "/%6frders?limit=1", b"", signer.headers("GET", path)),
        "the body": ("PATCH", "/orders/x", b'{"price":2}', signer.headers("PATCH", "/orders/x", body)),
        "the body left out": ("PATCH", "/orders/x", b"", signer.headers("PATCH", "/orders/x", body)),
        "the time": ("GET", path, b"", earlier(signer.headers("GET", path))),
        "the nonce": ("GET", path, b"", signer.headers("GET", path) | {"trade-nonce": "other"}),
        "no nonce": ("GET", path, b"", signer.headers("GET", path) | {"trade-nonce": ""}),
        "an old one": ("GET", path, b"", signer.headers("GET", path, late_ms=6_000)),
        "older than any window": ("GET", path, b"", signer.headers("GET", path, late_ms=61_000, window_ms=60_000)),
        "a window beyond the longest": ("GET", path, b"", signer.headers("GET", path, window_ms=60_001)),
        "ahead of time": ("GET", path, b"", signer.headers("GET", path, late_ms=-3_000)),
        "another's key": ("GET", path, b"", signer.headers("GET", path) | {"trade-key": "PK" + "2" * 18}),
    }
    for number, (name, (method, target, content, who)) in enumerate(changed.items()):
        sent: dict[str, Any] = {"content": content, "headers": {"content-type": "application/json"}} if content else {}
        assert house.refused("oms", method, target, who, at=f"127.0.2.{number + 1}", **sent) == UNAUTHORIZED, name
    assert house.ask("oms", "GET", path, signer.headers("GET", path, late_ms=6_000, window_ms=60_000)).status_code in (200, 401)
    again = signer.headers("GET", path)
    assert house.ask("oms", "GET", path, again).status_code == 200
    assert house.refused("oms", "GET", path, again | {"trade-window": "60000"}) == UNAUTHORIZED
    assert house.refused("oms", "GET", path, bearer(f"{signer.key_id}.")) == UNAUTHORIZED


def test_a_session_works_everywhere_until_it_ends(house: House, signer: Signer) -> None:
    started = [house.session(signer.headers("POST", "/access/sessions")) for _ in range(3)]
    for service in SERVICES:
        assert house.done(service, "GET", "/access/me", bearer(started[0]))["key_id"] == signer.key_id
    assert house.submit(bearer(started[0]), client_order_id="by-session")["order_id"] == order_id_of("acct-signs", "by-session")
    house.done("risk", "DELETE", "/access/sessions/current", bearer(started[0]))
    assert house.refused("oms", "GET", "/orders", bearer(started[0])) == UNAUTHORIZED
    assert house.ask("oms", "GET", "/orders", bearer(started[1])).status_code == 200
    house.done("risk", "POST", f"/access/keys/{signer.key_id}/end-sessions", json={})
    assert house.refused("oms", "GET", "/orders", bearer(started[1])) == UNAUTHORIZED
    leaving = house.signer("acct-signs", "read")
    token = house.session(leaving.headers("POST", "/access/sessions"))
    assert house.ask("exeq", "GET", "/access/me", bearer(token)).status_code == 200
    house.done("risk", "POST", f"/access/keys/{leaving.key_id}/revoke", json={})
    assert {house.refused(service, "GET", "/access/me", bearer(token)) for service in SERVICES} == {UNAUTHORIZED}
    assert house.refused("oms", "GET", "/access/me", leaving.headers("GET", "/access/me")) == UNAUTHORIZED


def test_a_session_cannot_start_another_however_its_token_is_spelled(house: House, anna: Made) -> None:
    token = house.session(anna.headers)
    hidden = Made("", token, "", "")
    for number, who in enumerate((bearer(token), {"authorization": f"bearer {token}"}, hidden.headers, hidden.basic, hidden.apca)):
        assert house.refused("risk", "POST", "/access/sessions", who, at=f"127.0.3.{number + 1}") == UNAUTHORIZED


# Rotation, expiry, networks, rates


def test_a_rotated_key_has_two_secrets_for_a_while(house: House) -> None:
    key = house.key("acct-turns", "read")
    fresh = rotated(house, key, 600)
    assert [house.ask("oms", "GET", "/orders", each.headers).status_code for each in (key, fresh)] == [200, 200]
    token = house.session(key.headers)
    assert house.ask("oms", "GET", "/orders", bearer(token)).status_code == 200
    last = rotated(house, fresh, 0)
    answers = [house.ask("oms", "GET", "/orders", each).status_code for each in (key.headers, fresh.headers, bearer(token), last.headers)]
    assert answers == [401, 401, 401, 200]


def rotated(house: House, key: Made, grace_sec: int, who: Headers | None = None) -> Made:
    secret: str = house.done("risk", "POST", f"/access/keys/{key.key_id}/rotate", who, json={"grace_sec": grace_sec})["secret"]
    house.secrets.append(secret)
    return Made(key.key_id, secret, key.owner, key.account)


def test_expiry_and_networks_hold_at_every_request(house: House) -> None:
    brief, elsewhere = (
        house.key("acct-brief", "read", expires_in_sec=1),
        house.key("acct-net", "read", networks=["127.0.0.2", "10.0.0.0/8"]),
    )
    token = house.session(house.key("acct-net", "read").headers)
    deadline = time.monotonic() + 30
    while house.ask("oms", "GET", "/orders", brief.headers, at="127.0.4.1").status_code != 401:
        assert time.monotonic() < deadline, "the key does not expire"
        time.sleep(0.1)
    assert house.refused("oms", "GET", "/orders", elsewhere.headers, at="127.0.4.2") == UNAUTHORIZED
    assert house.ask("oms", "GET", "/orders", elsewhere.headers, at="127.0.0.2").status_code == 200
    inside = house.done("risk", "POST", "/access/sessions", elsewhere.headers, at="127.0.0.2")["token"]
    house.secrets.append(inside)
    assert house.refused("oms", "GET", "/orders", bearer(inside), at="127.0.4.2") == UNAUTHORIZED
    assert house.ask("oms", "GET", "/orders", bearer(token), at="127.0.4.3").status_code == 200


def test_a_key_of_other_networks_locks_no_caller_out_of_oms(house: House, anna: Made) -> None:
    """risk asks oms with the caller's key from its own address, where the key is not good."""
    key = house.key("acct-far", "read", networks=["127.0.0.2"]).headers
    answers = {house.refused("risk", "GET", f"/risk/decisions/{ABSENT}", key, at="127.0.0.2") for _ in range(25)}
    assert answers == {SCOPE_MISSING}
    assert house.ask("oms", "GET", "/orders", anna.headers).status_code == 200
    near = house.key("acct-near", "read", networks=["127.0.0.0/8"]).headers
    assert house.refused("risk", "GET", f"/risk/decisions/{ABSENT}", near) == (404, "order_not_found")


def test_every_answer_says_what_is_left_and_cancels_have_their_own(house: House) -> None:
    key = house.key("acct-rates", "trade", "read", rate=1, burst=6)
    order = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/orders", {}),
        ("POST", "/orders", {"json": order}),
        ("GET", "/stats", {}),
        ("GET", "/nothing", {}),
    ]
    asked += [("GET", f"/orders/{ABSENT}", {}), ("POST", "/orders", {"json": {**order, "account": BERT}})]
    answers = [house.ask("oms", method, path, key.headers, **how) for method, path, how in asked]
    assert [answer.status_code for answer in answers] == [200, 200, 403, 404, 404, 403]
    over = [house.ask("oms", "GET", "/orders", key.headers) for _ in range(12)]
    assert over[-1].status_code == 429
    assert int(over[-1].headers["retry-after"]) >= 1
    for answer in (*answers, *over):
        limit, left, reset = (int(answer.headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
        assert (limit, 0 <= left <= 6, 0 <= reset <= 6) == (6, True, True)
    cancelled = house.ask("oms", "DELETE", f"/orders?account={key.account}", key.headers)
    assert (cancelled.status_code, cancelled.json(), cancelled.headers["x-ratelimit-limit"]) == (200, {"cancelled": 0, "pending": 1}, "500")
    killed = [house.ask("risk", "GET", "/risk/limits", key.headers) for _ in range(12)][-1]
    assert killed.status_code == 429
    house.done("risk", "POST", "/risk/kill", key.headers, json={"scope": "account:acct-rates", "reason": "x"})


# Scopes, owners


def test_scopes_that_no_key_has_together(house: House) -> None:
    for account, scopes in (
        ("acct-x", ["admin", "trade"]),
        ("acct-x", ["admin", "cancel"]),
        ("*", ["trade"]),
        ("*", ["read"]),
        ("*", ["cancel"]),
    ):
        body = {"account": account, "scopes": scopes}
        assert house.refused("risk", "POST", "/access/keys", house.operator, json=body) == (422, "scopes_forbidden")


def test_a_key_that_cancels_kills_its_own_account_and_arms_none(house: House) -> None:
    key = house.key("acct-stops", "cancel", owner="stop-owner").headers
    for scope in ("all", f"account:{ANNA}", "account:acct-stop", "symbol:BTCUSDT", "venue:PAPER_A"):
        assert house.refused("risk", "POST", "/risk/kill", key, json={"scope": scope, "reason": "x"}) == SCOPE_MISSING
    own = {"scope": "account:acct-stops", "reason": "x"}
    assert house.refused("risk", "POST", "/risk/kill", key, json={**own, "who": "another"}) == (403, "who_not_yours")
    assert house.done("risk", "POST", "/risk/kill", key, json={**own, "who": "Stop-Owner"})["who"] == "stop-owner"
    assert house.refused("risk", "POST", "/risk/arm", key, json=own) == SCOPE_MISSING
    assert house.refused("exeq", "POST", "/kill", key, json=own) == SCOPE_MISSING


def test_two_owners_arm_and_two_keys_of_one_do_not(house: House) -> None:
    one, again, other = (house.key("*", "risk", owner=owner).headers for owner in ("dora", "Dora", "emil"))
    scope = {"scope": "account:acct-armed", "reason": "x"}
    house.done("risk", "POST", "/risk/kill", one, json=scope)
    assert house.refused("risk", "POST", "/risk/arm", one, json={**scope, "who": "emil"}) == (403, "who_not_yours")
    token = {"token": house.done("risk", "POST", "/risk/arm", one, json=scope)["token"]}
    for same in (one, again):
        assert house.refused("risk", "POST", "/risk/arm", same, json=scope | token) == (403, "second_person_required")
    assert house.done("risk", "POST", "/risk/arm", other, json=scope | token)["who"] == "emil"


def test_one_admin_is_never_two_owners(house: House) -> None:
    eve = house.key("*", "admin", owner="eve")
    asked = {"account": "*", "scopes": ["admin"], "owner": "eves-friend"}
    token = {"token": house.done("risk", "POST", "/access/keys", eve.headers, json=asked)["token"]}
    assert house.refused("risk", "POST", "/access/keys", eve.headers, json=asked | token) == (403, "second_person_required")
    operator = house.operator["authorization"].split()[1].partition(".")[0]
    for body in ({}, {"grace_sec": 600}):
        turned = house.refused("risk", "POST", f"/access/keys/{operator}/rotate", eve.headers, json=body)
        assert turned == (403, "second_person_required")
    assert rotated(house, eve, 0, eve.headers).key_id == eve.key_id
    house.done("risk", "POST", f"/access/keys/{eve.key_id}/revoke", json={})


def test_a_reservation_cannot_be_made_under_the_id_of_anothers_order(house: House, anna: Made, bert: Bert) -> None:
    """The id of bert's next order is known to all who know his account; a reservation under it would have the order denied as repeated."""
    dry = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000"}
    for name in (order_id_of(BERT, "bert-next"), bert.resting, ABSENT):
        assert house.refused("risk", "POST", "/check", anna.headers, json={**dry, "order_id": name}) == SCOPE_MISSING
    house.submit(bert.key.headers, symbol="ETHUSDT", quantity="0.01", price="2200", client_order_id="bert-next")


# What is recorded


def test_the_timeline_says_by_whom(house: House, anna: Made) -> None:
    order_id = house.submit(anna.headers, client_order_id="told")["order_id"]
    first = house.done("oms", "GET", f"/orders/{order_id}/events", anna.headers)["events"][0]
    assert (first["type"], first["by"], first["owner"]) == ("OrderSubmitted", anna.key_id, "ann-owner")
    assert f"submitted by ann-owner with key {anna.key_id}" in first["description"]


def test_the_log_has_what_happened_to_a_key_and_no_secret(house: House) -> None:
    key = house.key("acct-logged", "read")
    rotated(house, key, 600)
    assert house.ask("oms", "GET", "/orders", key.headers).status_code == 200
    assert house.refused("oms", "GET", "/stats", key.headers) == SCOPE_MISSING
    house.done("risk", "POST", f"/access/keys/{key.key_id}/revoke", json={"reason": "scene"})
    assert house.refused("oms", "GET", "/orders", key.headers) == UNAUTHORIZED
    log = house.done("risk", "GET", f"/access/log?key={key.key_id}")["log"]
    assert [entry["type"] for entry in log] == ["Refused", "KeyRevoked", "Refused", "FirstUse", "KeyRotated", "KeyCreated"]
    assert [entry["code"] for entry in log if entry["type"] == "Refused"] == ["unauthorized", "scope_missing"]
    shown_by_command = house.stack.trade("access", "log", "--json", "--key", key.key_id).stdout
    assert "KeyRotated" in shown_by_command
    assert [secret for secret in house.secrets if secret in shown_by_command or secret in str(log)] == []


def test_what_is_refused_is_no_event(house: House, anna: Made, bert: Bert) -> None:
    before = recorded(house)
    for service, method, path, foreign, _, body in questions(bert):
        sent: dict[str, Any] = (
            {"content": as_json(body).replace(b"@", foreign.encode()), "headers": {"content-type": "application/json"}} if body else {}
        )
        for who in ({}, anna.headers):
            if method != "GET" and f"account={ANNA}" not in path:
                assert house.ask(service, method, path.replace("@", foreign), who, **sent).status_code in (401, 403, 404), (method, path)
    assert recorded(house) == before


def recorded(house: House) -> list[Any]:
    """The ends of all journals that a request could add to, once nothing moves any more."""
    last: list[Any] = []
    while True:
        version = max(entry.get("version", 0) for entry in house.done("risk", "GET", "/access/log?limit=1000")["log"])
        now = [house.done("oms", "GET", "/stats")["seq"], version, house.done("risk", "GET", "/risk/controls/history?limit=100")]
        if now == last:
            return now
        last = now
        time.sleep(0.3)


# Closed accounts


def test_a_closed_account_takes_cancels_only(house: House) -> None:
    who = house.key("acct-closes", "trade", "read").headers
    order = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000", "client_order_id": "first"}
    first = house.submit(who, client_order_id="first")
    house.done("risk", "POST", "/access/accounts/acct-closes/close", json={})
    assert house.refused("oms", "POST", "/orders", who, json={**order, "client_order_id": "second"}) == (422, "account_closed")
    assert house.refused("oms", "PATCH", f"/orders/{first['order_id']}", who, json={"price": "39000"}) == (422, "account_closed")
    again = house.done("oms", "POST", "/orders", who, json=order)
    assert (again["order_id"], again["status"], again["replayed"]) == (first["order_id"], "submitted", True)
    assert house.ask("oms", "DELETE", f"/orders/{first['order_id']}", who).status_code in (200, 202)


def test_revoking_a_key_may_cancel_the_orders_of_its_account(house: House) -> None:
    leaked, reader = house.key("acct-leaked", "trade"), house.key("acct-leaked", "read").headers
    order_id = house.submit(leaked.headers, client_order_id="open")["order_id"]
    house.done("risk", "POST", f"/access/keys/{leaked.key_id}/revoke", json={"cancel_orders": True})
    assert house.refused("oms", "DELETE", f"/orders/{order_id}", leaked.headers) == UNAUTHORIZED
    deadline = time.monotonic() + 30
    while house.done("oms", "GET", f"/orders/{order_id}", reader)["status"] != "cancelled":
        assert time.monotonic() < deadline, "the order stays open"
        time.sleep(0.05)


# Canaries: last, when all secrets of this module have been used


def test_no_secret_is_anywhere_but_with_its_owner(house: House, tmp_path: Path) -> None:
    canaries = [secret.encode() for secret in house.secrets]
    assert len(canaries) > 30
    backup = tmp_path / "backup"
    assert house.stack.trade("backup", str(backup)).returncode == 0
    places = {str(file): file.read_bytes() for file in (*files(house.stack.data_dir), backup, house.stack.output)}
    for service in SERVICES:
        places[f"{service} stats"] = house.ask(service, "GET", "/stats", house.operator).content
        places[f"{service} metrics"] = house.stack.metrics_page(service).encode()
    found = stack.read(house.stack.data_dir)
    assert found is not None
    for pid in {*(process.pid for process in found.processes if process.pid), house.stack.up_pid}:
        for page in ("cmdline", "environ"):
            places[f"{pid} {page}"] = Path(f"/proc/{pid}/{page}").read_bytes()
    assert len(places) > 40
    assert [(where, canary[:4]) for where, content in places.items() for canary in canaries if canary in content] == []


def files(directory: Path) -> Iterator[Path]:
    """Every file of the stack but those that are made for secrets."""
    for where, _, names in os.walk(directory):
        if Path(where).name != SECRETS:
            yield from (Path(where) / name for name in names if (Path(where) / name).is_file())
