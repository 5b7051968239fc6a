"""A client that floods, or sends the same order in a loop: it is refused, the others are not, and cancels always pass."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from tests.faults.scene import PATIENT, ROUNDS, order
from tests.live import LiveServer
from tests.process import Changes, LiveService
from tests.torture.killswitch import NO_HISTORY

RATE: Final = 5
REPEATS: Final = 10
FLOOD: Final = 150
SAME: Final = 1_000 * ROUNDS
AT_ONCE: Final = 25


def limited(**more: object) -> Changes:
    return {"risk_checks": {**NO_HISTORY["risk_checks"], **more}}


async def submit(http: httpx.AsyncClient, name: str, account: str, price: str = "45000") -> dict[str, Any]:
    found: dict[str, Any] = (await http.post("/orders", json=order(name, account, price=price))).json()
    return found


async def opened_house(
    opened: AsyncExitStack, nats: LiveServer, home: Path, changes: Changes
) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    """Clients of oms and risk."""
    risk = LiveService("risk", nats, home / "risk", changes=changes)
    oms = LiveService("oms", nats, home / "oms", changes=PATIENT)
    for service in (risk, oms):
        opened.callback(service.stop)
        service.begin()
    for service in (risk, oms):
        service.ready()
    return await opened.enter_async_context(oms.client()), await opened.enter_async_context(risk.client())


async def test_a_flood_of_one_account_is_refused_the_others_pass_and_so_do_its_cancels(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 70
    async with AsyncExitStack() as opened:
        http, _ = await opened_house(opened, fresh_nats, tmp_path, limited(max_orders_per_sec_per_account=RATE))
        first = await submit(http, "first", "mallory")
        outcomes: Counter[str] = Counter()

        async def flood(client: int) -> None:
            for n in range(FLOOD // AT_ONCE):
                answer = await submit(http, f"flood-{client}-{n}", "mallory")
                outcomes[answer.get("reason", answer["status"])] += 1

        async def others() -> list[str]:
            statuses = []
            for n in range(10):
                statuses.append((await submit(http, f"calm-{n}", "alice"))["status"])
                await asyncio.sleep(1 / RATE)
            return statuses

        _, calm = await asyncio.gather(asyncio.gather(*(flood(client) for client in range(AT_ONCE))), others())
        assert outcomes["rate_limit"] > FLOOD / 2, outcomes
        assert calm == ["submitted"] * 10
        assert (await http.delete(f"/orders/{first['order_id']}")).json()["status"] == "cancelled"


async def test_a_client_in_a_loop_is_stopped_until_a_person_enables_it_again(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 71
    async with AsyncExitStack() as opened:
        http, desk = await opened_house(opened, fresh_nats, tmp_path, limited(repeated_orders_max=REPEATS))
        numbers = iter(range(SAME))
        outcomes: Counter[str] = Counter()

        async def client() -> None:
            for n in numbers:
                answer = await submit(http, f"same-{n}", "mallory")
                outcomes[answer.get("reason", answer["status"])] += 1

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        assert outcomes == {"submitted": REPEATS, "repeated_order": SAME - REPEATS}
        assert (await submit(http, "other", "mallory", price="44000"))["status"] == "submitted", "another order is no loop"
        assert (await submit(http, "same", "alice"))["status"] == "submitted", "nor is the same one of another account"
        enabled = await desk.post("/risk/repeats/mallory/enable", json={"reason": "the loop is mended", "who": "desk-1"})
        assert (enabled.status_code, enabled.json()["enabled"]) == (200, 1)
        assert (await submit(http, "again", "mallory"))["status"] == "submitted"
