"""The parts of risk that every shard has for itself: its fold of the journal, and what opens and closes its checks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from nats.aio.client import Client

from adapters.codec import ORDER_COMMITS, Commit
from apps.connections import journals, nats
from apps.connections.controls import connections
from apps.connections.unit import Unit
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import JournalSubscription
from apps.risk.check_service import CheckService
from apps.risk.engines import RiskEngines
from apps.risk.metrics import RiskMetrics
from apps.risk.readiness import Readiness
from apps.runtime import tasks
from apps.runtime.chassis import Chassis
from apps.runtime.histogram import Hops
from config.settings import RiskSettings
from domain.execution.order_rules import OrderRules
from domain.order.events import OrderEvent
from domain.ports import Clock
from domain.risk.engine import Risk
from domain.risk.snapshot import VERSION, RiskState

Orders = Sequence[tuple[int, Commit[OrderEvent]]]


class RiskContext(NamedTuple):
    """What the parts of all shards use together."""

    measures: RiskMetrics
    controls: JournalSubscription[Any]
    rules: OrderRules
    clock: Clock


class RiskParts(NamedTuple):
    """The parts of one shard."""

    checks: CheckService
    snapshots: Snapshotter[RiskState]
    follower: JournalSubscription[OrderEvent]


async def risk_shards(
    chassis: Chassis[RiskSettings],
    client: Client,
    unit: Unit | None,
    engines: RiskEngines,
    common: RiskContext,
    also: Callable[[Orders], None],
) -> list[RiskParts]:
    """Build the parts of all shards and start their tasks. `also` gets every commit after the fold."""
    await journals.followed_shards(chassis, client)
    hops = Hops(chassis.registry, common.clock)
    parts = []
    for shard, risk in enumerate(engines.all):
        name = engines.shards.name(shard)
        journal = await journals.followed_orders(client, unit, shard, engines.shards.count)
        snapshots = journals.snapshotter(chassis, risk.fold, RiskState, VERSION, shard=shard)
        head = await nats.patiently(partial(snapshots.recover, journal))
        timed = hops.timed("risk", snapshots.whole(orders_into(risk, also)))
        wait_s = chassis.settings.following.follower_wait_ms / 1000
        follower = JournalSubscription(journal, ORDER_COMMITS, timed, after=head, wait_s=wait_s)
        if unit is not None and unit.leases is not None:
            unit.leases.follows(shard, follower)
        gate = Readiness(follower, common.controls, journal, chassis.settings.risk_checks.reservation_ttl_ms / 1000, connections(client))
        _run(chassis, gate, follower, risk, common.measures, name)
        parts.append(RiskParts(CheckService(risk, gate, common.measures, common.rules, common.clock), snapshots, follower))
    journals.keep(chassis, [(each.snapshots, each.follower) for each in parts])
    return parts


def _run(
    chassis: Chassis[RiskSettings],
    gate: Readiness,
    follower: JournalSubscription[OrderEvent],
    risk: Risk,
    measures: RiskMetrics,
    name: str,
) -> None:
    """Start the tasks of a shard. Its checks are closed until it has caught up."""
    check = f"journal {name}".rstrip()
    chassis.ready.set(check, False, "catching up with the journal")
    chassis.spawn(follower.run, tasks.JOURNAL_FOLLOWER, name)
    chassis.spawn(gate.open, tasks.OPENING, name)
    chassis.spawn(lambda: gate.watch(lambda ok, why: chassis.ready.set(check, ok, why)), tasks.GATE, name)
    chassis.spawn(lambda: gate.give_back(risk.exposure, measures), tasks.LEAKED, name)


def orders_into(risk: Risk, also: Callable[[Orders], None] = lambda commits: None) -> Callable[[Orders], None]:
    """Return a function that applies commits to the fold and then passes them to `also`."""

    def apply(commits: Orders) -> None:
        for seq, commit in commits:
            for event in commit.events:
                risk.fold.apply(event, seq)
        also(commits)

    return apply
