"""One history: trade while things go wrong, heal, wait until all is settled, end what is still open, and check everything."""

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from adapters.codec import ORDER_COMMITS
from apps.live_gateway.report_log import VENUE_COMMITS
from domain.audit import checker
from domain.audit.algo_audit import AlgoAudit, check_algo_answers, check_algos
from domain.audit.checker import Audit, ObservedBounds, Violation
from domain.audit.display_audit import check_displayed
from domain.audit.list_audit import check_list_answers, check_lists
from domain.execution.projection import Executions
from domain.market.listings import Listings
from domain.order.algo import LIVE
from domain.order.events import OrderSubmitted
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.paper.book import PaperState
from domain.paper.events import VenueEvent, stamp_of
from domain.ports import Unavailable
from domain.risk.exposure import Exposure
from domain.risk.projection import RiskFold
from domain.values import use_exact_arithmetic
from tests.simulation import market
from tests.simulation.faults import trouble
from tests.simulation.house import House
from tests.simulation.journal import Disk
from tests.simulation.loop import run_virtually
from tests.simulation.quiet import everything_quiet
from tests.simulation.services import OPEN_ORDERS_MAX, Exeq, Gateway
from tests.simulation.world import World

ORDERS = 30
TROUBLE_S = 4.0
CALM_AFTER_S = 0.5
SETTLED_WITHIN_S = 30.0
"""FAILURES 2.2, invariant 9."""
LOTS = {symbol: instrument.lot for symbol, instrument in market.INSTRUMENTS.items()}
LOOK_S = 0.25
ROUNDS = 4
"""An order that is cancelled may have another one of its list take its place, which must be cancelled too."""

BOUNDS = ObservedBounds(
    open_orders_max=OPEN_ORDERS_MAX,
    position_notional_max=market.POSITION_MAX,
    marks={market.SYMBOL: market.MID},
    short_accounts=market.LIMITS.short_accounts,
)


class Outcome(msgspec.Struct):
    """What one run came to. `state` is a hash over everything that happened: equal for equal seeds."""

    seed: int
    violations: list[Violation]
    faults: Counter[str]
    commits: int
    events: int
    orders: int
    state: str
    virtual_s: float
    ends: Counter[str]


def simulate(seed: int, tell: Callable[[str], None] | None = None, only: tuple[str, ...] = ()) -> Outcome:
    """Run one seed. The collector waits: when it runs must not depend on what ran before."""
    use_exact_arithmetic()
    collecting = gc.isenabled()
    gc.disable()
    try:
        outcome: Outcome = run_virtually(lambda loop: _history(World(seed, loop, tell), only))
    finally:
        if collecting:
            gc.enable()
    gc.collect(0)
    return outcome


async def _history(world: World, only: tuple[str, ...]) -> Outcome:
    with everything_quiet(world):
        house = House(world, Audit(BOUNDS), unit=world.seed % 2 == 1)
        world.loop.set_exception_handler(lambda loop, context: _unhandled(world, context))
        try:
            return await _lived(world, house, only)
        finally:
            await _close(house)


async def _lived(world: World, house: House, only: tuple[str, ...]) -> Outcome:
    await house.open()
    await _until(lambda: house.oms.host.ready and house.risk.gate.shut is None, 10.0, house)
    trading = asyncio.create_task(_trade(world, house))
    await trouble(house, world.loop.time() + TROUBLE_S, only)
    await asyncio.sleep(CALM_AFTER_S)
    await house.heal()
    await _settle(world, house, trading)
    return _outcome(world, house)


async def _trade(world: World, house: House) -> None:
    others = [asyncio.create_task(trader.trade(TROUBLE_S)) for trader in (house.lists, house.algos)]
    await house.trader.trade(ORDERS, world.loop.time() + TROUBLE_S)
    for other in others:
        await other


async def _close(house: House) -> None:
    """Take the house down. What a task does in answer to its end may need a second word."""
    for process in house.lives.values():
        process.die()
    me = asyncio.current_task()
    while pending := [task for task in asyncio.all_tasks() if task is not me]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1.0)


async def _settle(world: World, house: House, trading: "asyncio.Task[None]") -> None:
    """Every client has an answer and every order rests somewhere; then what is open is cancelled, and must end."""
    began = world.loop.time()
    if not await _until(lambda: trading.done() and _at_rest(house), SETTLED_WITHIN_S, house):
        _still(world, house, "does not come to rest")
        return
    trading.result()
    for _ in range(ROUNDS):
        await house.algos.end()
        for order_id in _open(house):
            await house.trader.cancel(order_id, attempts=5)
        if await _until(lambda: _at_rest(house) and not _open(house) and not _works(house), SETTLED_WITHIN_S / ROUNDS, house):
            break
    if not await _until(lambda: _at_rest(house) and not _open(house) and not _works(house), SETTLED_WITHIN_S, house):
        _still(world, house, "does not end")
    world.tell("settled %.1f s after healing", world.loop.time() - began)


def _open(house: House) -> list[str]:
    """Orders that must end still. What is in doubt because its venue never says a word may stay so: with the alarm that a doubt is."""
    return [order_id for order_id, line in _audit(house).lines.items() if not line.order.closed and not _excused(house, line.order)]


def _works(house: House) -> bool:
    """Whether a parent may still make a child, or waits for one."""
    return any(parent.state in LIVE for parent in house.oms.host.book.parents.by_id.values())


def _excused(house: House, order: Order) -> bool:
    gateway = house.lives["gateway"]
    assert isinstance(gateway, Gateway)
    if order.status is not State.IN_DOUBT:
        return False
    at_venues = [gateway.hosts[route.venue].venue.orders.get(route.route_id) for route in order.live_routes]
    return all(found is not None and found.state is PaperState.TAKEN for found in at_venues)


def _still(world: World, house: House, what: str) -> None:
    open_orders = [f"{order_id[:8]} {house.audit.lines[order_id].order.status}" for order_id in _open(house)]
    seqs = f"journal {house.ground.orders.head.seq}, positions {house.ground.positions.seq}, risk {house.risk.risk.fold.seq}"
    world.violated("liveness", "the house", f"{what}: {house.trader.waiting} clients wait, open: {open_orders}; {seqs}")


def _at_rest(house: House) -> bool:
    """oms has written everything, followers have read everything, and the journal says that nothing is under way."""
    head = house.ground.orders.head.seq
    exeq = house.lives["exeq"]
    assert isinstance(exeq, Exeq)
    if not all(process.alive for process in house.lives.values()) or not house.oms.host.ready or not hasattr(exeq, "orders"):
        return False
    if house.ground.positions.seq != head or house.risk.risk.fold.seq != head or exeq.orders.head.seq != head:
        return False
    audit = _audit(house)
    if any(True for _ in checker.check_settled(audit, house.risk.risk.exposure.reservations)):
        return False
    return not any(violation for violation in _venue_violations(house, audit))


async def _until(condition: Callable[[], bool], within_s: float, house: House) -> bool:
    """Looked at only at moments when the writer has nothing on its way to the disk."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        await _all_written(house)
        if condition():
            return True
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(LOOK_S)


async def _all_written(house: House) -> None:
    loop, asked_at = asyncio.get_running_loop(), -1.0
    while asked_at != loop.time() and house.oms.alive and house.oms.open and house.oms.host.ready:
        asked_at = loop.time()
        with contextlib.suppress(Unavailable):
            await house.oms.host.settled(*house.oms.host.orders.by_id.values())


def _audit(house: House) -> Audit:
    """The checker's own view of the journal so far."""
    audit = house.audit
    for commit in _commits(house.ground.orders, behind=audit.seq):
        audit.take(commit)
    return audit


def _commits(disk: Disk, behind: int = 0) -> Iterator[checker.ObservedCommit]:
    for head, payload in disk.log.commits[behind:]:
        yield checker.ObservedCommit(head.seq, head.n, head.chain, payload, ORDER_COMMITS.decode(payload).events)


def _venue_events(disk: Disk) -> list[VenueEvent]:
    return [event for _, payload in disk.log.commits for event in VENUE_COMMITS.decode(payload).events]


def _venue_violations(house: House, audit: Audit) -> Iterator[Violation]:
    for name, disk in house.ground.venues.items():
        yield from checker.check_venue(audit, name, _venue_events(disk), settled=True)


def _stamps_that_go_back(house: House) -> Iterator[Violation]:
    """Clocks jump here, and services begin again with other clocks."""
    journals = {"orders": [event.at for commit in _commits(house.ground.orders) for event in commit.events]}
    journals |= {name: [at for event in _venue_events(disk) if (at := stamp_of(event))] for name, disk in house.ground.venues.items()}
    for name, stamps in journals.items():
        if back := [after for before, after in pairwise(stamps) if after < before]:
            yield Violation("stamps_rise", name, f"{len(back)} stamps are before those of the event before them")


def _outcome(world: World, house: House) -> Outcome:
    audit = checker.check_journal(_commits(house.ground.orders), bounds=BOUNDS)
    world.violations += audit.violations
    world.violations += checker.check_answers(audit, house.trader.answers)
    world.violations += checker.check_sends(audit, house.sends)
    world.violations += checker.check_kept(audit)
    world.violations += _venue_violations(house, audit)
    for name, disk in house.ground.venues.items():
        world.violations += check_displayed(audit, name, _venue_events(disk))
    world.violations += checker.check_settled(audit, house.risk.risk.exposure.reservations)
    world.violations += _stamps_that_go_back(house)
    world.violations += checker.check_reduce_only(_commits(house.ground.orders))
    world.violations += check_lists(_commits(house.ground.orders), LOTS)
    world.violations += check_list_answers(list(_commits(house.ground.orders)), house.lists.answers)
    world.violations += check_algos(_commits(house.ground.orders))
    world.violations += check_algo_answers(list(_commits(house.ground.orders)), house.algos.answers)
    world.violations += _rooms(house)
    if not audit.violations:  # a replay of an unlawful journal proves nothing, and may not even be possible
        world.violations += _folds(house, audit)
    for name, error in house.unread_errors():
        world.violated("no_task_dies", name, repr(error))
    if (again := checker.state_hash(_audit(house))) != checker.state_hash(audit):
        world.violated("replay_hash", "the journal", f"one replay makes {checker.state_hash(audit)}, the next {again}")
    return Outcome(
        seed=world.seed,
        violations=world.violations,
        faults=world.faults,
        commits=audit.n,
        events=audit.events,
        orders=len(audit.lines),
        state=audit.chain + checker.state_hash(audit),
        virtual_s=world.loop.time(),
        ends=Counter(str(line.order.status) for line in audit.lines.values()),
    )


def _folds(house: House, audit: Audit) -> Iterator[Violation]:
    """What each service holds in memory or in its store, against a fresh replay."""
    orders = {order_id: _plain(order) for order_id in audit.lines if (order := house.oms.host.find(order_id)) is not None}
    yield from checker.check_fold("oms", orders, {order_id: _plain(line.order) for order_id, line in audit.lines.items()})
    held = {" ".join(key): quantity for key, quantity in house.oms.host.book.holdings.quantities.items()}
    made = {" ".join(key): position.quantity for key, position in audit.book.positions.items() if position.quantity}
    yield from checker.check_fold("oms holds", held, made)
    stored = {" ".join(key): position for key, position in house.ground.positions.positions.items()}
    yield from checker.check_fold("positions", stored, {" ".join(key): position for key, position in audit.book.positions.items()})
    yield from checker.check_fold("exeq", _working(house), _working_again(house))
    yield from checker.check_fold("risk", _exposed(house.risk.risk.exposure), _exposed(_exposure_again(house)))


def _plain(order: Order) -> Order:
    """Without the host's own notes."""
    return msgspec.structs.replace(order, seqs=(), commit=0)


def _working(house: House) -> dict[str, object]:
    exeq = house.lives["exeq"]
    assert isinstance(exeq, Exeq)
    return dict(exeq.executor.executions.working)


def _working_again(house: House) -> dict[str, object]:
    executions = Executions()
    for commit in _commits(house.ground.orders):
        for event in commit.events:
            executions.apply(event)
    return dict(executions.working)


def _exposed(exposure: Exposure) -> dict[str, object]:
    """What does not depend on the last price."""
    found: dict[str, object] = dict(exposure.orders)
    for account in exposure.accounts.values():
        for h in account.holdings.values():
            stake = (h.quantity, h.buy_quantity, h.buy_notional, h.sell_quantity, h.sell_notional)
            if any(stake):
                found[f"{account.name} {h.symbol}"] = (account.cash, *stake)
    return found


def _new_fold(house: House) -> RiskFold:
    return RiskFold(Exposure(house.risk.risk.marks, market.LIMITS.buying_power_initial), Listings(), market.INSTRUMENTS)


def _exposure_again(house: House) -> Exposure:
    fold = _new_fold(house)
    for commit in _commits(house.ground.orders):
        for event in commit.events:
            fold.apply(event, commit.seq)
    return fold.exposure


def _rooms(house: House) -> Iterator[Violation]:
    """What risk reserves for parents, against what they may still put into children, after every commit and at the end."""
    fold, audit = _new_fold(house), AlgoAudit()
    # An order with a claim is a leg of a list, which may also wait for its venue at the end.
    legs = {event.order_id for commit in _commits(house.ground.orders) for event in commit.events if isinstance(event, OrderSubmitted)}
    for commit in _commits(house.ground.orders) if house.algos.answers else ():
        for event in commit.events:
            fold.apply(event, commit.seq)
        found = {algo_id: claim.quantity for algo_id, claim in fold.exposure.claims.items() if algo_id not in legs}
        if not any(audit.take(commit)) and found != audit.rooms():
            yield Violation("reservations", str(commit.seq), f"risk keeps {found}, and parents may use {audit.rooms()}")
    for algo_id in sorted(house.risk.risk.exposure.claims.keys() - legs):
        yield Violation("reservations", f"parent {algo_id}", "still has room reserved")


def _unhandled(world: World, context: dict[str, Any]) -> None:
    world.violated("no_task_dies", "the loop", f"{context.get('message')}: {context.get('exception')!r}")
