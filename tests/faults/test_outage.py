"""The way to the journal is gone, slow, frozen, or loses acks: answers stay quick and honest, and every order settles to one or none."""

import asyncio
import hashlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream
from apps.journal.subscription import Applied, JournalSubscription
from domain.ports import Head
from tests.faults.scene import PATIENT, ROUNDS, answered, connected, order, risk_that_says_yes, submitted, until, until_ready
from tests.live import LiveServer
from tests.process import LiveService
from tests.proxy import Proxy

TEXTS: Final[CommitCodec[str]] = CommitCodec(str)
QUICK_S: Final = 25.0
GHOST_S: Final = 2.0 * ROUNDS
IN_FLIGHT_MAX: Final = 32
CROWD: Final = 100
ANSWER_MAX_S: Final = 60.0
CUTS: Final = 20 * ROUNDS
WRITER_CUTS: Final = 8 * ROUNDS
FOLLOWERS: Final = 5
ORDERS: Final = 200 * ROUNDS


async def test_without_nats_everything_is_refused_quickly_and_no_ghost_comes_later(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 6
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        oms.start()
        known = (await http.post("/orders", json=order("before"))).json()
        fresh_nats.kill()
        for name in ("ghost-1", "ghost-2"):
            began = time.monotonic()
            refused = await http.post("/orders", json=order(name))
            assert (refused.status_code, refused.json()["outcome"], refused.headers["retry-after"]) == (503, "not_accepted", "1")
            assert time.monotonic() - began < QUICK_S
        cancelled = await http.delete(f"/orders/{known['order_id']}")
        assert cancelled.status_code == 503
        assert (await http.get("/ready")).status_code == 503
        fresh_nats.start()
        await until_ready(http)
        await asyncio.sleep(GHOST_S)
        assert await submitted(fresh_nats) == {"before": 1}
        assert "replayed" not in await answered(http, order("ghost-1"))
        assert await submitted(fresh_nats) == {"before": 1, "ghost-1": 1}
    oms.stop()


@pytest.mark.parametrize("trouble", ["half a second", "five seconds", "frozen one way"])
async def test_a_slow_journal_is_met_with_a_bound_and_not_with_a_storm(fresh_nats: LiveServer, tmp_path: Path, trouble: str) -> None:
    # FAILURES 7
    changes = PATIENT | {"order_management": {"intake_max": IN_FLIGHT_MAX}}
    with Proxy(fresh_nats.program.ports["nats"]) as proxy:
        oms = LiveService("oms", fresh_nats, tmp_path / "oms", nats_url=proxy.url, changes=changes)
        async with risk_that_says_yes(fresh_nats.url), oms.client(timeout_s=30) as http:
            oms.start()
            before = _messages(fresh_nats)
            proxy.answers.frozen = trouble == "frozen one way"
            proxy.requests.delay_s = proxy.answers.delay_s = {"half a second": 0.25, "five seconds": 2.5}.get(trouble, 0.0)
            began = time.monotonic()
            posting = [asyncio.ensure_future(http.post("/orders", json=order(f"o-{n}"))) for n in range(CROWD)]
            most = await _most_in_flight(http, posting)
            crowd = await asyncio.gather(*posting)
            assert time.monotonic() - began < ANSWER_MAX_S
            statuses, messages = Counter(answer.status_code for answer in crowd), _messages(fresh_nats) - before
            print(trouble, dict(statuses), "in flight at most", most, "messages", messages)
            assert statuses.keys() <= {200, 429, 503}
            assert statuses[429], "no client was turned away: the bound was not met"
            assert most <= IN_FLIGHT_MAX
            assert messages < CROWD, "what waits is not asked about again and again"

            proxy.answers.frozen, proxy.requests.delay_s, proxy.answers.delay_s = False, 0.0, 0.0
            await until_ready(http)
            for first in range(0, CROWD, IN_FLIGHT_MAX):
                names = [f"o-{n}" for n in range(first, min(first + IN_FLIGHT_MAX, CROWD))]
                assert all(await asyncio.gather(*(answered(http, order(name)) for name in names)))
            assert await submitted(fresh_nats) == {f"o-{n}": 1 for n in range(CROWD)}
        oms.stop()


async def _most_in_flight(http: httpx.AsyncClient, posting: Sequence[asyncio.Future[httpx.Response]]) -> int:
    """The gauge at its highest while the crowd waits."""
    most = 0
    while not all(future.done() for future in posting):
        most = max(most, (await http.get("/stats")).json()["in_flight"])
        await asyncio.sleep(0.02)
    return most


def _messages(nats: LiveServer) -> int:
    """How many messages nats-server has taken from all its clients."""
    return int(httpx.get(f"{nats.monitor_url}/varz").json()["in_msgs"])


async def test_cut_again_and_again_a_reader_misses_nothing_and_sees_nothing_twice(fresh_nats: LiveServer) -> None:
    # FAILURES 8
    chance, read = random.Random(8), [hashlib.sha256() for _ in range(FOLLOWERS)]
    counts = [0] * FOLLOWERS
    async with AsyncExitStack() as exits:
        writing = await exits.enter_async_context(connected(fresh_nats.url))
        proxy = exits.enter_context(Proxy(fresh_nats.program.ports["nats"]))
        await ensure_stream(writing, "J", ["j.>"], 64 * 1024 * 1024)
        journal = await JetStreamJournal.open(writing, stream="J", subject="j.0")
        followers = []
        for number in range(FOLLOWERS):

            def apply(commits: Applied[str], number: int = number) -> None:
                for seq, commit in commits:
                    counts[number] += 1
                    read[number].update(f"{seq} {commit.events}".encode())

            client = await exits.enter_async_context(connected(proxy.url))
            from_there = await JetStreamJournal.open(client, stream="J", subject="j.0")
            followers.append(JournalSubscription(from_there, TEXTS, apply, after=Head(), wait_s=0))
        running = [asyncio.create_task(follower.run()) for follower in followers]
        written, head, cuts = hashlib.sha256(), Head(), 0
        next_cut = time.monotonic()
        while cuts < CUTS:
            text = "x" * chance.randrange(2000)
            head = await journal.append(TEXTS.encode(0, head.n + 1, [text]), head)
            written.update(f"{head.seq} {(text,)}".encode())
            if time.monotonic() > next_cut:
                chance.choice([proxy.cut, proxy.reset])()
                proxy.answers.slice_bytes = chance.choice([0, 0, 1000])
                cuts, next_cut = cuts + 1, time.monotonic() + chance.uniform(0.05, 0.5)
        async with asyncio.timeout(120):
            await asyncio.gather(*(follower.wait_for(head.seq) for follower in followers))
        assert counts == [head.n] * FOLLOWERS
        assert {each.hexdigest() for each in read} == {written.hexdigest()}
        print(head.n, "commits,", proxy.connections, "connections")
        assert proxy.connections > CUTS, "no connection was cut"
        assert not any(task.done() for task in running)
        for task in running:
            task.cancel()


async def test_cut_off_while_it_writes_an_oms_answers_every_order_and_stores_it_once(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 8, 10
    chance = random.Random(10)
    with Proxy(fresh_nats.program.ports["nats"]) as proxy:
        oms = LiveService("oms", fresh_nats, tmp_path / "oms", nats_url=proxy.url, changes=PATIENT)
        async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
            oms.start()
            answers: dict[str, dict[str, Any]] = {}
            names, over = (f"o-{n}" for n in itertools.count()), False

            async def ask() -> None:
                while not over:
                    name = next(names)
                    answers[name] = await answered(http, order(name))

            asking = [asyncio.create_task(ask()) for _ in range(3)]
            for _ in range(WRITER_CUTS):
                known = len(answers)
                await until(lambda known=known: len(answers) > known + 5)  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0, 0.05))
                chance.choice([proxy.cut, proxy.reset])()
            over = True
            await asyncio.gather(*asking)
            assert await submitted(fresh_nats) == dict.fromkeys(answers, 1)
            assert proxy.connections > WRITER_CUTS, "no connection was cut"
            before = [(await http.get(f"/orders/{answer['order_id']}")).json() for answer in answers.values()]
            oms.kill()
            oms.start()
            assert [(await http.get(f"/orders/{answer['order_id']}")).json() for answer in answers.values()] == before
        oms.stop()


async def test_every_tenth_ack_is_lost_and_every_order_is_answered_and_stored_once(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 10
    changes = PATIENT | {"journal": {"append_timeout_ms": 50}}
    with Proxy(fresh_nats.program.ports["nats"]) as proxy:
        oms = LiveService("oms", fresh_nats, tmp_path / "oms", nats_url=proxy.url, changes=changes)
        async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
            oms.start()
            proxy.answers.lose_acks(10)
            work = iter(range(ORDERS))

            async def ask() -> None:
                for n in work:
                    answer = await http.post("/orders", json=order(f"o-{n}"))
                    assert (answer.status_code, answer.json().get("replayed", False)) == (200, False), answer.text

            await asyncio.gather(*(ask() for _ in range(3)))
            assert await submitted(fresh_nats) == {f"o-{n}": 1 for n in range(ORDERS)}
            assert proxy.answers.lost >= ORDERS // 3 // 10 - 1, "the fault must have happened"
            print("acks lost:", proxy.answers.lost)
            assert (await http.get("/stats")).json()["recoveries"] == 0
        oms.stop()
