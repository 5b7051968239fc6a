"""Two oms on one shard: every order has one winner, the loser never answers from stale memory, a sleeper wakes to silence."""

import asyncio
from pathlib import Path
from typing import Final

from adapters import bus
from adapters.codec import encode
from apps.journal.group_commit import TRUST_S
from tests.faults.scene import PATIENT, connected, order, risk_that_says_yes, submitted, until_ready
from tests.live import LiveServer
from tests.process import LiveService
from tests.torture.contended import contend

CONTENDED: Final = 300
SLEEPERS_ASKED: Final = 20


async def test_each_contended_submit_has_one_winner(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 14; `python -m tests.torture contended` does it with 10 000
    print((await contend(CONTENDED, 2026, fresh_nats, tmp_path)).line())


async def test_an_oms_that_wakes_after_another_took_over_says_nothing_from_its_memory(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 15
    sleeper, heir = (LiveService("oms", fresh_nats, tmp_path / name, changes=PATIENT) for name in ("sleeper", "heir"))
    async with risk_that_says_yes(fresh_nats.url), sleeper.client(30) as asleep, heir.client() as awake:
        sleeper.start()
        accepted = (await asleep.post("/orders", json=order("o-1"))).json()
        path = f"/orders/{accepted['order_id']}"
        assert (await asleep.get(path)).json()["status"] == "queued"

        sleeper.freeze()
        heir.start()
        assert (await awake.delete(path)).json()["status"] == "cancelled"
        taken = (await awake.post("/orders", json=order("o-2"))).json()
        async with connected(fresh_nats.url) as client:  # both get it: one has never heard of this order, and will read of it when it wakes
            command = encode([{"command": "cancel", "order_id": taken["order_id"]}])
            assert b'"ok":true' in await bus.request(client, "oms.commands.0", command, 5)
        waiting = [asyncio.ensure_future(asleep.get(path)) for _ in range(SLEEPERS_ASKED)]
        submits = [asyncio.ensure_future(asleep.post("/orders", json=order(name))) for name in ("o-2", "o-3")]
        await asyncio.sleep(TRUST_S + 0.5)
        assert not any(future.done() for future in waiting), "it sleeps"

        sleeper.thaw()
        async with asyncio.timeout(120):
            while True:
                answers = [*(await asyncio.gather(*waiting)), await asleep.get(path)]
                stale = [a.json() for a in answers if a.status_code == 200 and a.json()["status"] != "cancelled"]
                assert not stale, "an answer from a memory that was not true any more"
                if answers[-1].status_code == 200:
                    break
                assert answers[-1].status_code == 503
        for answer in await asyncio.gather(*submits):
            assert answer.status_code == 503 or answer.json().get("replayed") or answer.json()["client_order_id"] == "o-3"
        await until_ready(asleep)
        assert sleeper.ended is None
        assert (await asleep.post("/orders", json=order("o-2"))).json() == taken | {"replayed": True}
        found = await submitted(fresh_nats)
        assert {name: found[name] for name in ("o-1", "o-2")} == {"o-1": 1, "o-2": 1}
        assert found["o-3"] <= 1
    sleeper.stop()
    heir.stop()
