"""A venue that traded too much stops its account, once, and not again after it was armed."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from adapters.codec import Commit
from apps.risk.overfills import Overfills
from domain.order.events import OrderFilled
from domain.order.lifecycle import State
from domain.ports import Unavailable
from domain.risk.controls import Armed, ControlEvent, Controls
from domain.values import Liquidity, Side
from tests.simulation.loop import run_virtually


class Log:
    """The controls as they are written; `away` times it cannot."""

    def __init__(self, controls: Controls, away: int = 0) -> None:
        self.controls = controls
        self.away = away
        self.written: list[ControlEvent] = []

    async def record(self, make: Any) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("no journal")
        event = make(self.controls.version + 1)
        self.written.append(event)
        self.controls.apply(event)


class SetClock:
    def now_ns(self) -> int:
        return 7

    def monotonic_ns(self) -> int:
        return 7


def trade(exec_id: str, *, overfill: bool = True) -> OrderFilled:
    return OrderFilled(
        order_id="o1",
        at=1,
        status=State.FILLED,
        account="alice",
        client_order_id="a-1",
        symbol="BTCUSDT",
        side=Side.BUY,
        quantity=Decimal(1),
        price=Decimal(1),
        fee=Decimal(0),
        liquidity=Liquidity.TAKER,
        exec_id=exec_id,
        venue="V",
        route_id="R1",
        overfill=overfill,
    )


async def looked(controls: Controls, log: Log, *events: OrderFilled) -> None:
    overfills = Overfills(controls, SetClock())
    overfills.look([(1, Commit(v=1, shard=0, n=1, events=events))])
    running = asyncio.create_task(overfills.run(log))  # type: ignore[arg-type]
    await asyncio.sleep(10)
    running.cancel()


@pytest.mark.parametrize("away", [0, 3])
def test_an_overfill_stops_its_account_once(away: int) -> None:
    # row 15, FAILURES 30
    controls = Controls()
    log = Log(controls, away)
    run_virtually(lambda loop: looked(controls, log, trade("V-1", overfill=False), trade("V-2"), trade("V-2")))
    (thrown,) = log.written
    assert controls.kills["account:alice"] == thrown
    assert (thrown.who, thrown.reason) == ("risk", "overfill: trade V-2 of V for order o1")


def test_a_restart_does_not_overrule_a_person_who_armed_the_account() -> None:
    controls = Controls()
    log = Log(controls)
    run_virtually(lambda loop: looked(controls, log, trade("V-2")))
    controls.apply(Armed(version=3, at=9, who="boss", reason="seen", scope="account:alice", token="t"))
    run_virtually(lambda loop: looked(controls, log, trade("V-2")))
    assert not controls.kills
    run_virtually(lambda loop: looked(controls, log, trade("V-3")))
    assert list(controls.kills) == ["account:alice"]


def test_a_stopped_account_is_an_alarm_by_the_controls_alone_so_it_outlives_a_restart_and_the_arming() -> None:
    controls = Controls()
    run_virtually(lambda loop: looked(controls, Log(controls), trade("V-2")))
    controls.apply(Armed(version=3, at=9, who="boss", reason="seen", scope="account:alice", token="t"))
    (alarm,) = Overfills(controls, SetClock()).alarms()
    assert (alarm["kind"], alarm["order_id"], alarm["account"], alarm["seq"]) == ("account_stopped", "o1", "alice", 2)
    assert alarm["sentence"] == "Account alice was stopped: overfill: trade V-2 of V for order o1."
