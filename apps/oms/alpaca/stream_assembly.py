"""The parts of the stream put together: its source of updates, and its handler by path."""

from collections.abc import Mapping

from nats.aio.client import Client

from apps.connections import journals
from apps.connections.unit import Unit
from apps.http.app import Handler
from apps.journal.shard_hosts import Hosts, ShardHosts
from apps.oms.alpaca.catalogue import AssetBook
from apps.oms.alpaca.orders import AlpacaOrder, order_of
from apps.oms.alpaca.stream import AlpacaStream
from apps.oms.alpaca.update_source import UpdateSource
from apps.runtime import metrics, tasks
from apps.runtime.chassis import Chassis
from config.settings import OmsSettings
from domain.order.order import Order


async def stream(
    chassis: Chassis[OmsSettings], client: Client, unit: Unit | None, hosts: Hosts, assets: AssetBook
) -> Mapping[str, Handler]:
    """Return the handler of the stream at each of its paths; none without a facade, and none of several shards."""
    if chassis.alpaca is None or isinstance(hosts, ShardHosts):
        return {}

    def shown(order: Order, generation: int) -> AlpacaOrder:
        return order_of(order, assets.of(order.symbol), generation)

    source = UpdateSource(hosts, await journals.followed_orders(client, unit), shown)
    endpoint = AlpacaStream(source, chassis.authority)
    chassis.spawn(source.run, tasks.ALPACA_UPDATES)
    metrics.read(chassis.registry, endpoint.series)
    return dict.fromkeys(chassis.alpaca.websocket_paths, endpoint)
