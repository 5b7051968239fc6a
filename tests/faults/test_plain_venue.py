"""A venue with `session: plain` is a program of the user's own; what it leaves open ends in doubt, and an operator settles it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from apps.stack.services import CHECKOUT
from domain.order.events import DoubtSettled, OrderFilled, ReportQuarantined
from tests.children import started
from tests.faults.scene import PATIENT, answered, events_of, order, risk_that_says_yes, until_ready
from tests.live import LiveServer
from tests.process import LiveService

VENUES = {
    "venues": {
        "MINE": {
            "fees": {"maker_bps": 0, "taker_bps": 10},
            "symbols": ["BTCUSDT"],
            "session": "plain",
            "live": False,
            "answer_deadline_ms": 500,
        }
    },
    "simulated_quotes": {},
}


@contextmanager
def gateway(url: str) -> Iterator["subprocess.Popen[str]"]:
    program = Path(__file__).with_name("plain_gateway.py")
    with started([sys.executable, str(program), url], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


async def shown(http: httpx.AsyncClient, order_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while True:
            found: dict[str, Any] = (await http.get(f"/orders/{order_id}")).json()
            if found["status"] == status:
                return found
            await asyncio.sleep(0.05)


async def test_a_gateway_of_the_users_own_is_a_venue(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 26, 34
    venues = tmp_path / "venues.yaml"
    venues.write_text(yaml.safe_dump(VENUES))
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    exeq = LiveService("exeq", fresh_nats, tmp_path / "exeq")
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http:
        with gateway(fresh_nats.url) as child:
            oms.start(TRADE_VENUES=str(venues))
            exeq.start(TRADE_VENUES=str(venues))
            await until_ready(http)
            ids = {}
            for name, quantity in (("once", "0.1"), ("halves", "0.2"), ("twice", "0.3"), ("never", "0.4")):
                ids[name] = (await answered(http, order(name, price="45000", quantity=quantity)))["order_id"]

            once = await shown(http, ids["once"], "filled")
            assert (once["cum_quantity"], once["average_price"], once["fees"]) == (0.1, 45000, 4.5)
            assert (await shown(http, ids["halves"], "filled"))["cum_quantity"] == 0.2, "what differs in anything is another fill"
            twice = await shown(http, ids["twice"], "in_doubt")
            assert twice["cum_quantity"] == 0.1, "the same fill again, or a second one like it: they look alike"
            assert (await shown(http, ids["never"], "in_doubt"))["cum_quantity"] == 0

            refused = await http.post(f"/orders/{ids['once']}/settle", json={"outcome": "cancelled", "who": "ann", "reason": "x"})
            assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "illegal_transition", "filled")
            word = {"who": "ann", "reason": "the desk was called"}
            settled = await http.post(
                f"/orders/{ids['twice']}/settle", json=word | {"outcome": "filled", "quantity": "0.1", "price": "45000"}
            )
            assert (settled.status_code, settled.json()["status"]) == (200, "partially_filled"), settled.text
            ended = await http.post(f"/orders/{ids['never']}/settle", json=word | {"outcome": "never_arrived"})
            assert (ended.json()["status"], ended.json()["source"]) == ("rejected", "operator")
            working = await http.delete(f"/orders/{ids['twice']}")
            assert working.status_code == 202
            assert (await shown(http, ids["twice"], "in_doubt"))["cum_quantity"] == 0.2, "a plain venue does not answer a cancel"
            child.terminate()
            assert child.stdout is not None
            assert sorted(child.stdout.read().split()) == sorted(ids.values()), "each was sent once"
    oms.stop()
    exeq.stop()
    events = [event for _, event in await events_of(fresh_nats)]
    assert [e.reason for e in events if isinstance(e, ReportQuarantined)] == ["ambiguous_fill"]
    assert [(e.who, e.outcome) for e in events if isinstance(e, DoubtSettled)] == [("ann", "filled"), ("ann", "never_arrived")]
    assert len([e for e in events if isinstance(e, OrderFilled)]) == 5
    assert "a venue has an unsequenced session" in (tmp_path / "oms" / "oms.out").read_text()


def test_the_gateway_is_forty_lines() -> None:
    lines = (CHECKOUT / "tests/faults/plain_gateway.py").read_text().splitlines()
    assert len(lines) <= 45
