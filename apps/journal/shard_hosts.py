"""The hosts of all shards in a process, found by account or by the id of an order or list."""

from collections.abc import Sequence

from apps.journal.shard_host import ShardHost
from domain.shards import Shards


class ShardHosts:
    """Several hosts, one for each shard. The shards share nothing: a host that recovers leaves the others ready."""

    def __init__(self, hosts: Sequence[ShardHost]) -> None:
        self.all = hosts
        self.shards = Shards(len(hosts))

    @property
    def ready(self) -> bool:
        """Whether any shard takes commands."""
        return any(host.ready for host in self.all)

    def of(self, account: str) -> ShardHost:
        return self.all[self.shards.of(account)]

    def of_id(self, id_: str) -> ShardHost:
        """Return the host that has the order or list, if there is one. An id that names no shard is in none of them, so any will do."""
        return self.all[self.shards.of_id(id_) or 0]

    async def proven(self) -> None:
        """Wait until the memory of all shards as of now is confirmed by their journals. Unavailable."""
        for host in self.all:
            await host.proven()


Hosts = ShardHost | ShardHosts
"""What serves requests: the host of the only shard, or those of all."""


def hosts_of(hosts: Sequence[ShardHost]) -> Hosts:
    return hosts[0] if len(hosts) == 1 else ShardHosts(hosts)
