"""Commands of exeq to parents: each slice is checked by risk, and recorded with its child in one commit."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from apps.journal.shard_hosts import Hosts
from apps.oms.risk_client import RiskCheck
from apps.oms.submit import SubmitHandler
from apps.runtime.failpoint import failpoint
from domain.groups.parent import AlgoRefused, child_terms
from domain.order import algo_commands as ac
from domain.order.algo import Parent
from domain.order.commands import AlgoServiceCommand, CommandAnswer
from domain.order.order import RISK_CONTROL
from domain.ports import Unavailable
from domain.risk.controls import BLOCKED, KILLED

WAITING_MAX: Final = 1000
"""Commands that wait for their turn; one more is answered `overloaded`."""
AT_ONCE: Final = 64
"""Slices whose children risk is asked about together."""
NO_DECISION: Final = ("risk_timeout", "risk_error")
"""Denials that say nothing of a child. Its slice is not recorded, and may be asked for again."""

FORBIDDEN: Final = (KILLED, BLOCKED)
"""Denials by a control, which ends the parent: no slice follows it, also when it has been lifted again."""

Answer = Callable[[CommandAnswer], None]


class ChildSpawner:
    """Takes commands as they come, and answers each one after its commit."""

    def __init__(self, hosts: Hosts, intake: SubmitHandler, risk: RiskCheck) -> None:
        self._hosts = hosts
        self._intake = intake
        self._risk = risk
        self._waiting: asyncio.Queue[tuple[ac.SpawnChild, Answer]] = asyncio.Queue(WAITING_MAX)

    def take(self, command: AlgoServiceCommand, answer: Answer) -> None:
        """Execute a command; a slice waits for risk's decision on its child."""
        if not isinstance(command, ac.SpawnChild):
            self._execute(command, answer)
        elif self._waiting.full():
            answer(CommandAnswer(ok=False, code="overloaded"))
        else:
            self._waiting.put_nowait((command, answer))

    async def run(self) -> None:
        """Take slices until cancelled. Those of one child follow each other: two requests for a slice may come at once."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            of_parent: dict[str, list[tuple[ac.SpawnChild, Answer]]] = {}
            for command, answer in batch:
                of_parent.setdefault(command.order_id, []).append((command, answer))
            await asyncio.gather(*map(self._spawn_each, of_parent.values()))

    async def _spawn_each(self, commands: list[tuple[ac.SpawnChild, Answer]]) -> None:
        for command, answer in commands:
            try:
                await self._spawn(command, answer)
            except Unavailable as trouble:
                answer(_lost(trouble))

    async def _spawn(self, command: ac.SpawnChild, answer: Answer) -> None:
        """Unavailable."""
        host = self._hosts.of_id(command.order_id)
        parent = host.book.parents.find(command.order_id) if host.ready else None
        terms = None if parent is None or command.n <= parent.slices else child_terms(parent, command, self._hosts.shards)
        if terms is None:
            self._execute(command, answer)
            return
        decision = self._intake.forbidden(terms) or self._intake.too_many(terms) or await self._risk.check(terms)
        failpoint("after_risk")
        decision = self._intake.forbidden(terms) or decision  # a control may have changed; no other task runs before the commit
        denied = decision.denial.code if decision.denial is not None else ""
        if denied in FORBIDDEN:
            self._execute(ac.CancelAlgo(order_id=command.order_id, source=RISK_CONTROL, reason=denied), lambda outcome: None)
        if denied in (*FORBIDDEN, *NO_DECISION):
            answer(CommandAnswer(ok=False, code=denied))
            return
        self._execute(msgspec.structs.replace(command, decision=decision), answer)

    def _execute(self, command: AlgoServiceCommand | ac.CancelAlgo, answer: Answer) -> None:
        host = self._hosts.of_id(command.order_id)
        if not host.ready:
            answer(CommandAnswer(ok=False, code="journal_unavailable"))
            return
        try:
            known = host.book.parents.find(command.order_id) is not None
        except Unavailable as trouble:
            answer(_lost(trouble))
            return
        if known:
            host.parents.execute(command, lambda outcome: answer(_answer(outcome)))
        else:
            answer(CommandAnswer(ok=False, code="algo_not_found"))


def _answer(outcome: Parent | AlgoRefused | Unavailable) -> CommandAnswer:
    if isinstance(outcome, Unavailable):
        return _lost(outcome)
    if isinstance(outcome, AlgoRefused):
        return CommandAnswer(ok=False, code=outcome.code, state=outcome.state)
    return CommandAnswer(ok=True, seq=outcome.seen)


def _lost(trouble: Unavailable) -> CommandAnswer:
    return CommandAnswer(ok=False, code="outcome_unknown" if trouble.unknown else "journal_unavailable")
