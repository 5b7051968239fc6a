"""How a unit joins the units that it shares the shards with."""

import asyncio
from collections.abc import Sequence
from functools import partial

from nats.aio.client import Client

from adapters.clock import SystemClock
from adapters.leases import NatsLeases, ensure_bucket
from apps.connections import nats
from apps.connections.unit_leases import READS, UnitLeases
from apps.journal.leased_host import LeasedHost
from apps.journal.shard_keeper import ShardKeeper, join
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis
from config.settings import OmsSettings
from domain.leases import Cluster, OtherShards
from domain.shards import Shards


async def share_shards(chassis: Chassis[OmsSettings], client: Client, unit: UnitLeases, hosts: Sequence[LeasedHost]) -> None:
    """Join the cluster, and keep the shards from then on. A cluster with another number of shards ends the unit."""
    leases, shards = NatsLeases(client), Shards(len(hosts))
    await nats.patiently(partial(ensure_bucket, client, chassis.settings.nats.replicas))
    try:
        await nats.patiently(partial(join, leases, Cluster(len(hosts), READS, SystemClock().now_ns())))
    except OtherShards as trouble:
        chassis.fail(str(trouble))
        await asyncio.Event().wait()
    keeper = unit.joined(leases, hosts)
    chassis.spawn(keeper.watch, tasks.LEASES_WATCHED)
    chassis.spawn(keeper.beat, tasks.UNIT_HEARTBEAT)
    for host in hosts:
        chassis.spawn(partial(_keep, keeper, host), tasks.SHARD_KEEPER, shards.name(host.shard))
    metrics.read(chassis.registry, unit.series)


async def _keep(keeper: ShardKeeper, host: LeasedHost) -> None:
    """Keep a shard once this unit could write it."""
    await host.warm.wait()
    await keeper.keep(host.shard)
