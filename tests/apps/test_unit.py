"""oms, risk and exeq in one process: what they ask each other by a call, and how a flood at one of them leaves room for the others."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from apps.connections.unit import Answered, Unit
from apps.exeq.oms_commands import OmsInProcess
from apps.oms.risk_in_process import RiskInProcess
from apps.runtime.loop_share import BYTES_OF_ONE, LoopShare
from domain.instruments import Denial
from domain.order.commands import CancelOrder, CommandAnswer, RiskDecision, ServiceCommand, Terms
from domain.ports import Unavailable
from tests import given

PROBE = replace(given.terms(), order_id="")


def unit() -> Unit:
    return Unit("nats://127.0.0.1:1", pytest.fail)


async def test_before_risk_is_there_every_order_is_refused() -> None:
    risk = RiskInProcess(unit())
    decision = await risk.check(given.terms())
    assert decision.denial == Denial("risk_error", found="risk is not available")
    assert not await risk.is_open(PROBE, 1)
    assert (risk.errors, risk.timeouts) == (1, 0)


async def test_risk_decides_in_the_turn_in_which_it_is_asked_and_a_probe_reserves_nothing() -> None:
    shared, asked = unit(), list[str]()

    def decide(terms: Terms) -> RiskDecision:
        asked.append(terms.order_id)
        return RiskDecision(terms.order_id, 7, Denial("order_size_limit") if terms.order_id else None)

    shared.decide = decide
    risk = RiskInProcess(shared)
    assert await risk.is_open(PROBE, 1)
    assert (await risk.check(given.terms())).denial == Denial("order_size_limit")
    assert asked == ["", given.ORDER_ID]
    assert risk.errors == 0, "a denial is an answer"


async def test_oms_answers_each_command_and_one_that_is_not_there_is_asked_again() -> None:
    shared = unit()
    oms = OmsInProcess(shared)
    with pytest.raises(Unavailable, match="not started yet"):
        await oms.ask([CancelOrder(order_id="a")], 1)
    came: list[tuple[Sequence[ServiceCommand], Answered]] = []
    shared.performs[0] = lambda commands, answered: came.append((commands, answered))
    asking = asyncio.create_task(oms.ask([CancelOrder(order_id="a")], 30))
    while not came:
        await asyncio.sleep(0)
    came[0][1]([CommandAnswer(ok=True, seq=3)])
    assert await asking == [CommandAnswer(ok=True, seq=3)]
    with pytest.raises(Unavailable, match="in time"):
        await oms.ask([CancelOrder(order_id="b")], 0)
    came[1][1]([CommandAnswer(ok=True, seq=4)])  # too late, and without harm


async def turns_of(share: LoopShare, sizes: Sequence[int]) -> list[int]:
    """In which turn of the loop each of these was let through; all of them came in the first."""
    turn, passed = 0, [-1] * len(sizes)

    async def one(place: int, size: int) -> None:
        await share.pass_through(size)
        passed[place] = turn

    tasks = [asyncio.create_task(one(place, size)) for place, size in enumerate(sizes)]
    while not all(task.done() for task in tasks):
        turn += 1
        await asyncio.sleep(0)
    return passed


async def test_a_flood_is_let_through_in_small_parts_and_in_its_order() -> None:
    passed = await turns_of(LoopShare(4), [0] * 40)
    assert passed == sorted(passed)
    assert max(passed.count(turn) for turn in passed) == 4
    assert passed[-1] >= 10


async def test_a_large_message_takes_the_room_of_many() -> None:
    passed = await turns_of(LoopShare(4), [15 * BYTES_OF_ONE, *[0] * 4])
    assert passed[0] == 1
    assert passed[1] >= 4, "the first one is worth four turns"


async def test_a_request_that_comes_alone_does_not_wait() -> None:
    share = LoopShare(4)
    for _ in range(100):
        assert await turns_of(share, [0]) == [1]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
