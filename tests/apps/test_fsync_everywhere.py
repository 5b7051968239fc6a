"""Every server of a cluster must sync each message: a majority that does not would acknowledge what a power cut takes back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from adapters.natsmonitor import NotDurable, health_trouble, require_fsync, require_fsync_of
from domain.ports import Unavailable
from tests.cluster import cluster
from tests.live import LiveServer

WITHIN_S = 60.0
SYNCS = "sync_interval: always"


async def found(nodes: list[LiveServer]) -> list[str]:
    return await require_fsync([node.monitor_url for node in nodes])


async def in_time(attempt: Callable[[], Awaitable[object]]) -> None:
    """Until it works: servers of a cluster find each other after they answer."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                await attempt()
            except (Unavailable, AssertionError):
                await asyncio.sleep(0.1)
            else:
                return


@pytest.mark.timeout(180)
async def test_each_server_is_asked_and_each_must_sync(tmp_path: Path) -> None:
    # FAILURES 43
    with cluster(tmp_path) as nodes:
        assert await found(nodes) == []
        assert await health_trouble(*(node.monitor_url for node in nodes)) is None

        async def counted() -> None:
            with pytest.raises(NotDurable, match=r"the cluster has 3 servers and 1 of them can be checked"):
                await found(nodes[:1])

        await in_time(counted)
        with pytest.raises(NotDurable, match="of the same server"):
            await found([nodes[0], nodes[1], nodes[1]])

        away = nodes[2]
        away.kill()
        assert await found(nodes) == [away.monitor_url], "the others have a majority; this one is asked when it is back"
        assert await health_trouble(*(node.monitor_url for node in nodes)) is None
        conf = away.home / "nats" / "nats.conf"
        assert SYNCS in conf.read_text()
        conf.write_text(conf.read_text().replace(SYNCS, 'sync_interval: "2m"'))
        await asyncio.to_thread(away.start)
        for check in (lambda: found(nodes), lambda: require_fsync_of(away.monitor_url)):
            with pytest.raises(NotDurable, match=f"nats-server {away.home.name} does not fsync each message"):
                await check()

        nodes[1].kill()
        away.kill()
        with pytest.raises(Unavailable):
            await found(nodes)
        assert "does not answer" in (await health_trouble(*(node.monitor_url for node in nodes)) or "")
