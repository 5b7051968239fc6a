"""Parents of algos: asks oms for their slices when they are due, and for the end of children whose time is over. It sends nothing itself.

Nothing in its memory matters: after a restart the next slice follows from the journal and the time.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from apps.exeq.executor import Command, Executor
from apps.runtime.failpoint import failpoint
from domain.execution.projection import Executions
from domain.groups import schedule
from domain.groups.parent import SOURCE
from domain.instruments import Instrument
from domain.market.quotes import Market, Quote
from domain.order.algo import LIVE, AlgoState, OpenChild, Parent, SliceInputs, Strategy
from domain.order.algo_commands import EndAlgo, SpawnChild
from domain.order.commands import CancelOrder
from domain.order.legs import Candidate
from domain.ports import Clock
from domain.values import ZERO

LOOK_EVERY_S: Final = 0.05
AT_ONCE_MAX: Final = 150
"""Parents that one look decides about, so that it takes less than 5 ms. The next look begins with the others."""
NEVER: Final = 2**63
CANCEL_AGAIN_NS: Final = 1_000_000_000
"""How long a cancel of a child may take before it is requested again."""
ASK_AGAIN_NS: Final = 200_000_000
"""How long a parent waits after a request that has changed nothing: oms refused it, or did not answer."""
LIFE_OVER: Final = "child_life_over"
"""The reason of the cancel of a child that has worked for as long as it may, or whose parent's next slice is due."""


class _Wait(NamedTuple):
    """Until when nothing is due for a parent of this version."""

    version: int
    until: int


class Algos:
    """Looks at the parents every LOOK_EVERY_S. With many parents most of them wait, which costs one comparison each."""

    def __init__(
        self,
        executor: Executor,
        executions: Executions,
        market: Market,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        quote_age_max_ns: int,
        forbids: Callable[[str, str], str | None],
    ) -> None:
        """`forbids`: the reason why an account may not trade a symbol now."""
        self._executor = executor
        self._executions = executions
        self._market = market
        self._instruments = instruments
        self._clock = clock
        self._quote_age_max_ns = quote_age_max_ns
        self._forbids = forbids
        self._waits: dict[str, _Wait] = {}
        self._behind = ""
        """The parent that is looked at first, because the last look was full before it."""
        self._requested: list[str] = []
        """Whom the last look was about."""
        self._cancelled: dict[str, int] = {}
        """The children whose cancel was requested, and when (steady ns)."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._executions.parents.by_id and self._executor.known():
                commands = self.look(self._clock.now_ns())
                if any(isinstance(command, SpawnChild) for command in commands):
                    failpoint("before_slice")
                self._executor.ask_soon(commands)

    def look(self, now_ns: int) -> list[Command]:
        """Return what oms is to record now.

        Nothing while the requests of an earlier look are under way: when risk is slow, slices may not take the room of routes to oms.
        """
        if any(map(self._executor.asks, self._requested)):
            return []
        parents, commands, looked_at = self._executions.parents.by_id, list[Command](), 0
        for algo_id in self._in_turn():
            parent = parents[algo_id]
            wait = self._waits.get(algo_id)
            if wait is not None and wait.version == parent.version and now_ns < wait.until:
                continue
            if looked_at >= AT_ONCE_MAX:
                self._behind = algo_id
                break
            looked_at += 1
            if not self._executor.asks(algo_id):
                commands += self._due(parent, now_ns)
        if len(self._waits) > 2 * len(parents):
            self._waits = {algo_id: wait for algo_id, wait in self._waits.items() if algo_id in parents}
        open_children = {child.order_id for parent in parents.values() for child in parent.open_children} if self._cancelled else set()
        self._cancelled = {order_id: at for order_id, at in self._cancelled.items() if order_id in open_children}
        self._requested = [command.order_id for command in commands]
        return commands

    def _in_turn(self) -> list[str]:
        """Return the parents, first the one at which the last look was full."""
        ids, behind, self._behind = list(self._executions.parents.by_id), self._behind, ""
        begin = ids.index(behind) if behind in self._executions.parents.by_id else 0
        return ids[begin:] + ids[:begin]

    def _due(self, parent: Parent, now_ns: int) -> Iterator[Command]:
        if parent.state not in LIVE:
            self._waits[parent.algo_id] = _Wait(parent.version, NEVER)
            return
        if parent.end_at is not None and now_ns >= parent.end_at:
            yield self._asks(parent, EndAlgo(order_id=parent.algo_id), now_ns)
            return
        if parent.state is AlgoState.PAUSED:
            self._waits[parent.algo_id] = _Wait(parent.version, parent.end_at or NEVER)
            return
        if self._forbids(parent.account, parent.symbol):
            self._waits[parent.algo_id] = _Wait(parent.version, now_ns + ASK_AGAIN_NS)
            return
        due_at = schedule.due(parent, now_ns)
        child = next((child for child in parent.open_children if not child.doubtful), None)
        if child is not None:
            if parent.strategy is not Strategy.ICEBERG and (due_at is not None or now_ns >= _over_at(parent, child)):
                yield from self._cancels(child)
            elif parent.strategy is not Strategy.ICEBERG:
                self._wait(parent, _over_at(parent, child))
        elif parent.strategy is Strategy.ICEBERG and parent.open_children:
            return  # what is in doubt may be shown by its venue
        elif due_at is not None:
            yield self._asks(parent, self._slice(parent, due_at, now_ns), now_ns)
        else:
            self._wait(parent, schedule.next_due(parent))

    def _wait(self, parent: Parent, until: int | None) -> None:
        """Look at the parent again then, when it has changed, and at its end."""
        times = [at for at in (until, schedule.next_due(parent), parent.end_at) if at is not None]
        if times:
            self._waits[parent.algo_id] = _Wait(parent.version, min(times))

    def _asks(self, parent: Parent, command: SpawnChild | EndAlgo, now_ns: int) -> Command:
        """Return the command. Until it has changed the parent, the next one follows ASK_AGAIN_NS later."""
        self._waits[parent.algo_id] = _Wait(parent.version, now_ns + ASK_AGAIN_NS)
        return command

    def _cancels(self, child: OpenChild) -> Iterator[Command]:
        """Cancel a child once, and again if that has led to nothing. Its parent continues when the cancel is answered."""
        now, asked = self._clock.monotonic_ns(), self._cancelled.get(child.order_id)
        if not self._executor.asks(child.order_id) and (asked is None or now - asked >= CANCEL_AGAIN_NS):
            self._cancelled[child.order_id] = now
            yield CancelOrder(order_id=child.order_id, source=SOURCE, reason=LIFE_OVER)

    def _slice(self, parent: Parent, due_at: int, now_ns: int) -> SpawnChild | EndAlgo:
        inputs = self._inputs(parent, now_ns)
        n = parent.slices + 1
        found = schedule.decide(parent, n, due_at, inputs)
        if parent.strategy is Strategy.ICEBERG and not found.quantity:
            return EndAlgo(order_id=parent.algo_id, reason=found.reason)
        return SpawnChild(
            order_id=parent.algo_id,
            version=parent.version,
            n=n,
            due_at=due_at,
            inputs=inputs,
            target=found.target,
            quantity=found.quantity,
            order_type=found.order_type,
            price=found.price,
            time_in_force=found.time_in_force,
            reason=found.reason,
        )

    def _inputs(self, parent: Parent, now_ns: int) -> SliceInputs:
        since = self._clock.monotonic_ns() - self._quote_age_max_ns
        quote, instrument = self._market.touching(parent.symbol, parent.side, since), self._instruments.get(parent.symbol)
        shown = sum((each.size(parent.side) for each in self._market.quotes(parent.symbol, since)), ZERO)
        return SliceInputs(
            at=now_ns,
            quote=None if quote is None else _recorded(quote, parent),
            displayed=shown or None,
            cum_quantity=parent.cum_quantity,
            working_quantity=parent.working_quantity,
            doubtful_quantity=parent.doubtful_quantity,
            lot=None if instrument is None else instrument.lot,
            tick=None if instrument is None else instrument.tick,
            notional_min=None if instrument is None else instrument.notional_min,
        )


def _over_at(parent: Parent, child: OpenChild) -> int:
    """Return when a child has worked for as long as it may."""
    life = parent.params.child_life_sec
    return child.since + (schedule.interval_of(parent) if life is None else int(life * schedule.SECOND))


def _recorded(quote: Quote, parent: Parent) -> Candidate:
    """Return the quote as it is recorded; a side that shows nothing has no price."""
    return Candidate(
        venue=quote.venue,
        bid=quote.bid if quote.bid_size > ZERO else None,
        ask=quote.ask if quote.ask_size > ZERO else None,
        size=quote.size(parent.side),
        quote_seq=quote.seq or None,
    )
