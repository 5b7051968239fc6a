"""Sessions of keys at risk, without a listener: what ends a key's secret also ends the sessions that are just being started with it."""

import asyncio

import httpx
import pytest
from msgspec import structs

from apps.http.caller import Caller
from apps.http.credentials import digest
from apps.risk.key_sessions import SESSION_HARD_END_NS
from domain.access.events import KeyCreated
from domain.access.scopes import scopes_of
from tests.apps.callers import ANN, BEA
from tests.apps.risk_house import House

S = 1_000_000_000
SECRET = digest(b"ann's secret").hex()


def with_keys(house: House) -> House:
    for number, caller in enumerate((ANN, BEA), 1):
        scopes = tuple(map(str, scopes_of(caller.mask)))
        house.keys.apply(
            KeyCreated(
                version=number,
                at=1,
                who="operator",
                key_id=caller.key_id,
                owner=caller.owner,
                account="*",
                scopes=scopes,
                digest=SECRET,
                rate=1,
                burst=1,
            )
        )
    return house


async def starts(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/access/sessions")


@pytest.mark.parametrize("end", ["rotate", "revoke"])
async def test_a_session_that_starts_while_its_key_changes_is_refused(end: str) -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann:
        changed, started = await asyncio.gather(
            ann.post(f"/access/keys/{ANN.key_id}/{end}", json={"grace_sec": 0} if end == "rotate" else {}), starts(ann)
        )
        assert (changed.status_code, started.status_code) == (200, 401)
        assert not house.keys.sessions


async def test_a_session_is_over_when_its_key_is_rotated_at_once() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann, house.client(BEA) as bea:
        assert (await starts(ann)).status_code == (await starts(bea)).status_code == 200
        await ann.post(f"/access/keys/{ANN.key_id}/rotate", json={"grace_sec": 0})
        assert [each.key_id for each in house.keys.sessions.values()] == [BEA.key_id]


def as_session(house: House) -> Caller:
    """Ann as the token of her only session shows her."""
    (token,) = house.keys.sessions
    return structs.replace(ANN, session=token)


async def renewed(house: House) -> tuple[int, str]:
    async with house.http(as_session(house)) as client:
        answer = await client.post("/access/sessions/current")
        return answer.status_code, answer.json().get("code", "")


async def test_a_session_that_is_used_is_renewed_up_to_its_hard_end_and_no_further() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann:
        began = house.clock.now_ns()
        await starts(ann)
        renewals = 0
        while (await renewed(house))[0] == 200:
            renewals += 1
            house.clock.later(10 * 60)
        (session,) = house.keys.sessions.values()
        assert 45 <= renewals <= 49
        assert (
            began + SESSION_HARD_END_NS - 5 * 60 * S
            <= session.expires_at
            <= house.clock.now_ns()
            <= began + SESSION_HARD_END_NS + 10 * 60 * S
        )
        assert await renewed(house) == (401, "unauthorized")


async def test_a_renewal_that_wins_little_writes_nothing() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann:
        await starts(ann)
        version = house.keys.version
        assert [await renewed(house) for _ in range(5)] == [(200, "")] * 5
        assert house.keys.version == version
        house.clock.later(5 * 60)
        assert await renewed(house) == (200, "")
        assert house.keys.version == version + 1


async def test_a_session_that_was_not_used_in_time_a_program_and_a_rotated_key_are_not_renewed() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann, house.http(BEA) as bea:
        assert (await bea.post("/access/sessions/current")).status_code == 404
        await starts(ann)
        await ann.post(f"/access/keys/{ANN.key_id}/rotate", json={"grace_sec": 600})
        assert await renewed(house) == (409, "session_not_renewed")
        assert len(house.keys.sessions) == 1


async def test_the_end_of_a_session_or_of_its_key_is_not_undone_by_a_renewal_at_the_same_time() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann:
        await starts(ann)
        house.clock.later(5 * 60)
        revoked, again = await asyncio.gather(ann.post(f"/access/keys/{ANN.key_id}/revoke", json={}), renewed(house))
        assert (revoked.status_code, again) == (200, (401, "unauthorized"))
        assert not house.keys.sessions


async def test_a_session_that_ends_while_its_renewal_waits_does_not_begin_a_second_time() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann:
        await starts(ann)
        before = dict(house.keys.sessions)
        house.clock.later(15 * 60)  # it was good when the request was admitted
        assert await renewed(house) == (401, "unauthorized")
        assert house.keys.sessions == before


async def test_the_answer_to_a_renewal_that_wins_little_names_the_end_that_holds() -> None:
    house = with_keys(House())
    async with house.http(ANN) as ann:
        until = (await starts(ann)).json()["expires_at"]
        house.clock.later(2 * 60)
        async with house.http(as_session(house)) as client:
            assert (await client.post("/access/sessions/current")).json()["expires_at"] == until
