"""Two oms on one shard: every order has one winner, the loser never answers from stale memory, a sleeper wakes to silence."""

import asyncio
import itertools
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx

from apps.commits import TRUST_S
from tests.faults.scene import PATIENT, ROUNDS, order, risk_that_says_yes, submitted, until_ready
from tests.live import LiveServer
from tests.process import LiveService

CONTENDED: Final = 300 * ROUNDS
CLIENTS: Final = 25
SLEEPERS_ASKED: Final = 20


async def test_each_contended_submit_has_one_winner(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 14: each has a data directory of its own, as on two machines
    first, second = (LiveService("oms", fresh_nats, tmp_path / name, changes=PATIENT) for name in ("first", "second"))
    outcomes: Counter[str] = Counter()
    async with risk_that_says_yes(fresh_nats.url), first.client() as one, second.client() as other:
        first.start()
        second.start()
        numbers = iter(range(CONTENDED))

        async def contend() -> None:
            for n in numbers:
                answers = await asyncio.gather(*(_until_answered(each, order(f"o-{n}"), outcomes) for each in (one, other)))
                assert len({(answer["order_id"], answer["seq"]) for answer in answers}) == 1, answers

        await asyncio.gather(*(contend() for _ in range(CLIENTS)))
        stored = await submitted(fresh_nats)
        assert stored == {f"o-{n}": 1 for n in range(CONTENDED)}
        recoveries = [(await each.get("/stats")).json()["recoveries"] for each in (one, other)]
        print(dict(outcomes), "recoveries", recoveries)
        assert outcomes["won"] <= CONTENDED
        assert sum(recoveries) > 0, "nobody lost a race: it proves nothing"
    first.stop()
    second.stop()


async def _until_answered(client: httpx.AsyncClient, body: dict[str, str], outcomes: Counter[str]) -> dict[str, Any]:
    """200 in the end, from this very oms."""
    async with asyncio.timeout(60):
        for turn in itertools.count():
            answer = await client.post("/orders", json=body)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                outcomes["repeated" if found.get("replayed") else "won"] += 1
                return found
            assert answer.status_code == 503, answer.text
            outcomes[answer.json()["outcome"]] += 1
            await asyncio.sleep(min(0.05 * (turn + 1), 0.5))
    raise AssertionError("unreachable")


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
        waiting = [asyncio.ensure_future(asleep.get(path)) for _ in range(SLEEPERS_ASKED)]
        submits = [asyncio.ensure_future(asleep.post("/orders", json=order(name))) for name in ("o-2", "o-3")]
        await asyncio.sleep(TRUST_S + 0.5)
        assert not any(future.done() for future in waiting), "it sleeps"

        sleeper.thaw()
        async with asyncio.timeout(10):
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
        assert (await asleep.post("/orders", json=order("o-2"))).json() == taken | {"replayed": True}
        found = await submitted(fresh_nats)
        assert {name: found[name] for name in ("o-1", "o-2")} == {"o-1": 1, "o-2": 1}
        assert found["o-3"] <= 1
    sleeper.stop()
    heir.stop()
