"""Keys and faults: a service that is cut off, frozen or killed never goes by keys that are older than a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from apps.http.credentials import digest, new_key_id, new_secret
from apps.runtime.failpoint import KILLED, VARIABLE
from tests.faults.scene import PATIENT, WITHOUT_CLOSES, order, until_ready
from tests.live import LiveServer
from tests.process import LiveService
from tests.proxy import Proxy

CHANGES_S: Final = 1.0
READS_S: Final = 10.0
"""How old the keys may be for a request that changes something, and for one that reads (apps/http/authority.py)."""
GRACE_S: Final = 0.2
ID, SECRET = new_key_id(), new_secret()
MODE: Final = {"mode": "keys"}
CLI: Final = {"access": {**MODE, "cli_key": [ID, digest(SECRET.encode()).hex()]}}


@dataclass
class House:
    """risk and an oms whose only way to NATS is a proxy, both in keys mode, with one key of alice."""

    risk: LiveService
    oms: LiveService
    admin: httpx.AsyncClient
    trader: httpx.AsyncClient
    proxy: Proxy
    key_id: str

    async def submit(self, name: str) -> tuple[int, str]:
        answer = await self.trader.post("/orders", json=order(name))
        return answer.status_code, answer.json().get("code", answer.json().get("status"))

    async def me(self) -> int:
        return (await self.trader.get("/access/me")).status_code

    async def revoke(self) -> httpx.Response:
        return await self.admin.post(f"/access/keys/{self.key_id}/revoke", json={})


def bearer(key_id: str, secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key_id}.{secret}"}


async def key_of(admin: httpx.AsyncClient, account: str) -> dict[str, Any]:
    answer = await admin.post("/access/keys", json={"account": account, "scopes": ["trade", "read"]})
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found


@asynccontextmanager
async def running(nats: LiveServer, home: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as exits:
        proxy = exits.enter_context(Proxy(nats.program.ports["nats"]))
        risk = LiveService("risk", nats, home / "risk", changes={**WITHOUT_CLOSES, **CLI})
        oms = LiveService("oms", nats, home / "oms", nats_url=proxy.url, changes={**PATIENT, "access": MODE})
        for service in (risk, oms):
            service.begin()
            exits.callback(service.stop)
        for service in (risk, oms):
            service.ready()
        admin = await exits.enter_async_context(httpx.AsyncClient(base_url=risk.url, timeout=60, headers=bearer(ID, SECRET)))
        made = await key_of(admin, "alice")
        mine = bearer(made["key_id"], made["secret"])
        trader = await exits.enter_async_context(httpx.AsyncClient(base_url=oms.url, timeout=60, headers=mine))
        yield House(risk, oms, admin, trader, proxy, made["key_id"])


async def test_a_service_that_is_cut_off_changes_nothing_after_a_second_and_reads_for_ten(fresh_nats: LiveServer, tmp_path: Path) -> None:
    async with running(fresh_nats, tmp_path) as house:
        assert (await house.submit("before"))[0] == 200
        house.proxy.refuse()
        assert (await house.revoke()).json()["obeyed"]["oms"] != "yes"
        await asyncio.sleep(CHANGES_S + GRACE_S)
        assert (await house.submit("cut"), await house.me()) == ((503, "access_unknown"), 200)
        await asyncio.sleep(READS_S - CHANGES_S)
        assert await house.me() == 503
        house.proxy.refuse(refusing=False)
        await until_ready(house.trader)
        assert await house.submit("after") == (401, "unauthorized")
        made = await key_of(house.admin, "bob")
        mine = bearer(made["key_id"], made["secret"])
        assert (await house.trader.post("/orders", json=order("again", "bob"), headers=mine)).status_code == 200


async def test_a_frozen_service_is_named_and_accepts_nothing_with_the_key_when_it_continues(fresh_nats: LiveServer, tmp_path: Path) -> None:
    async with running(fresh_nats, tmp_path) as house:
        house.oms.freeze()
        waiting = asyncio.create_task(house.submit("meanwhile"))
        await asyncio.sleep(GRACE_S)
        answer = await house.revoke()
        assert (answer.status_code, answer.json()["obeyed"]["oms"]) == (202, "unknown")
        house.oms.thaw()
        assert await waiting in ((401, "unauthorized"), (503, "access_unknown"))
        await until_ready(house.trader)
        assert (await house.revoke()).status_code == 200
        assert await house.me() == 401


async def test_while_risk_is_frozen_keys_go_on_and_a_revocation_takes_effect_after_it(fresh_nats: LiveServer, tmp_path: Path) -> None:
    async with running(fresh_nats, tmp_path) as house:
        house.risk.freeze()
        revoking = asyncio.create_task(house.revoke())
        await asyncio.sleep(CHANGES_S + GRACE_S)
        assert await house.me() == 200
        assert not revoking.done(), "it was not answered, so nothing is promised yet"
        house.risk.thaw()
        assert (await revoking).status_code in (200, 202, 503), "503: it does not know the keys yet, and changes nothing"
        await until_ready(house.admin)
        assert (await house.revoke()).status_code == 200
        assert await house.me() == 401


@pytest.mark.parametrize("stage", ["revoke", "create"])
async def test_killed_between_the_event_and_its_answer_the_event_counts(fresh_nats: LiveServer, tmp_path: Path, stage: str) -> None:
    async with running(fresh_nats, tmp_path) as house:
        house.risk.kill()
        house.risk.start(**{VARIABLE: "before_access_answer"})
        with pytest.raises(httpx.TransportError):
            await (house.revoke() if stage == "revoke" else key_of(house.admin, "bob"))
        assert house.risk.wait() == KILLED
        house.risk.start()
        states = {each["account"]: each["state"] for each in (await house.admin.get("/access/keys")).json()["keys"]}
        after = {"alice": "revoked"} if stage == "revoke" else {"alice": "live", "bob": "live"}
        assert states == {"*": "live"} | after
        await until_ready(house.admin)
        assert (await house.revoke()).json()["state"] == "revoked", "who got no answer asks again"
        await until_ready(house.trader)
        assert await house.me() == 401
