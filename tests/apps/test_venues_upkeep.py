"""Venues held against the journal: what is left is told once, trouble is counted, one that comes back is looked at at once."""

import asyncio

from adapters.codec import encode
from apps.exeq.reconciliation import VenuePass, VenueReconciliation
from apps.runtime.helper_process import Ended, TookTooLong
from domain.execution.reconciliation import OrderDifference
from tests.apps.test_exeq_routing import Hands
from tests.apps.test_snapshots import until

STRANGER = OrderDifference("order not here", "alice", "BTCUSDT", "o9", "R9", "-", "working, traded 0")


class Program:
    """Gives the answers of a list in turn, and then the last one each time."""

    def __init__(self, *answers: Ended | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    async def ask(self, *venues: str) -> Ended:
        self.asked.append(venues)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(*passes: VenuePass, words: str = "") -> Ended:
    return Ended(0, encode(list(passes)), words)


async def test_repairs_and_what_is_left_are_counted_and_trouble_is_no_end() -> None:
    fine, wrong = VenuePass("A", 7, 3, 2), VenuePass("A", 8, 3, 2, (STRANGER,), 1, (STRANGER,))
    program = Program(
        said(fine), said(wrong), said(wrong), TookTooLong(), Ended(3, b"", "NATS is away"), said(words="venue A is away"), said(fine)
    )
    upkeep = VenueReconciliation(["A"], 60.0, program, Hands())  # type: ignore[arg-type]
    seen = []
    for _ in range(7):
        await upkeep.look()
        seen.append((upkeep.passes, upkeep.failed, upkeep.repaired, len(upkeep.left)))
    assert seen == [(1, 0, 0, 0), (2, 0, 1, 1), (3, 0, 2, 1), (3, 1, 2, 1), (3, 2, 2, 1), (4, 3, 2, 0), (5, 3, 2, 0)]
    assert program.asked == [("A",)] * 7


async def test_a_venue_that_comes_back_is_looked_at_at_once_and_without_one_nothing_runs() -> None:
    program = Program(said(VenuePass("A", 7, 3, 2)))
    upkeep = VenueReconciliation(["A"], 60.0, program, Hands())  # type: ignore[arg-type]
    running = asyncio.create_task(upkeep.run())
    upkeep.wanted()
    await until(lambda: upkeep.passes == 1)
    upkeep.wanted()
    await until(lambda: upkeep.passes == 2)
    running.cancel()
    await VenueReconciliation([], 60.0, program, Hands()).run()  # type: ignore[arg-type]
