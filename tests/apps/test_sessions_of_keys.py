"""Sessions of keys at risk, without a listener: what ends a key's secret also ends the sessions that are just being started with it."""

import asyncio

import httpx
import pytest

from apps.http.credentials import digest
from domain.access.events import KeyCreated
from domain.access.scopes import scopes_of
from tests.apps.callers import ANN, BEA
from tests.apps.risk_house import House

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
