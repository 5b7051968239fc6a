"""The journal's store is damaged on disk: the writer's start, a reader and `trade verify` each find it out and name the sequence."""

import asyncio
import contextlib
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import stream_state
from adapters.orderstore import SqliteOrderStore
from adapters.subjects import ORDER_STREAM
from apps.connections.stores import ORDERS_FILE
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import may_begin
from apps.runtime.chassis import cancelled
from apps.tools.verify.run import Sides, verify
from domain.ports import Corrupt, Head
from tests.faults.scene import connected, order_journal
from tests.live import LiveServer
from tests.torture.store import ENDINGS, STARTS_WITHIN_S, STORE, Kept, Stuck, damage, kept, mark_at, served

STUCK_SHARE_MAX: Final = 20
"""One of this many damages may keep nats-server itself from coming up."""
TELL_EVERY: Final = 10

Tell = Callable[[str], None]


@dataclass
class Came:
    """What became of the damages, by what was done to which kind of file."""

    damages: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        return f"{self.damages} damages: " + ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))


async def spoil(rounds: int, seed: int, home: Path, tell: Tell = lambda line: None) -> Came:
    """`rounds` damages, each to a copy of a store that was whole. AssertionError for one that was not noticed."""
    stores = [await kept(home / ending, ending) for ending in ENDINGS]
    for whole in stores:
        await _is_whole(whole, home / "copy")
    came = Came()
    for number in range(rounds):
        chance = random.Random(f"{seed} {number}")
        whole, copy = chance.choice(stores), home / f"damaged-{number}"
        shutil.copytree(whole.home, copy)
        what, where = damage(copy / STORE, chance)
        came.ends[await _looked_at(whole, copy, what, where, number)] += 1
        came.damages += 1
        shutil.rmtree(copy)
        if came.damages % TELL_EVERY == 0:
            tell(f"{came.damages} of {rounds} damages: {dict(came.ends)}")
    assert came.ends["nats-server does not come up"] <= max(rounds // STUCK_SHARE_MAX, 1), came.line()
    return came


async def _is_whole(whole: Kept, copy: Path) -> None:
    """The store as it was is whole to all of them."""
    shutil.copytree(whole.home, copy)
    async with served(copy) as nats:
        assert await started(nats, copy) == whole.head
        assert await followed(nats, whole.head) == whole.head
        assert await verified(nats, copy) == ""
    shutil.rmtree(copy)


async def _looked_at(whole: Kept, copy: Path, what: str, where: str, number: int) -> str:
    """What a start, a reader and a verification say of it; none may go past what another one found."""
    try:
        async with served(copy) as nats:
            found = {"verify": await verified(nats, copy), "start": await _said(started(nats, copy), whole.head)}
            if await _there(nats):  # else a reader waits for it
                found["reader"] = await _said(followed(nats, whole.head), whole.head)
    except Stuck:
        return "nats-server does not come up"
    about = f"round {number}, {what} {where}: {found}"
    if not any(found.values()):
        # Only what JetStream keeps twice may be damaged without harm: then every commit is there and verified.
        assert where != ".blk", about
        return f"{what} {where} harmless"
    assert all("sequence " in said for said in found.values()), about
    return f"{what} {where} refused"


async def _said(looking: Awaitable[Head], whole: Head) -> str:
    """Why it was refused; empty for one that came to the whole journal's end."""
    try:
        head = await looking
    except Corrupt as trouble:
        return str(trouble)
    return "" if head == whole else f"went on from {head}, which is not the end"


async def started(nats: LiveServer, home: Path) -> Head:
    """What a start of oms comes to on this store: the head it continues from. Corrupt."""
    store = SqliteOrderStore(home / ORDERS_FILE)
    with contextlib.closing(store):
        async with connected(nats.url) as client:
            mark = mark_at(home)
            if await stream_state(client, ORDER_STREAM) is None:
                may_begin(ORDER_STREAM, [mark])
            host = ShardHost(await order_journal(client), SystemClock(), store=store, mark=mark, pace=Pace(wait_s=0))
            running = asyncio.create_task(host.run())
            try:
                async with asyncio.timeout(STARTS_WITHIN_S):
                    while not (host.ready or running.done()):
                        await asyncio.sleep(0.005)
            finally:
                await cancelled(running)
            if not running.cancelled():
                running.result()
            return host.head


async def _there(nats: LiveServer) -> bool:
    async with connected(nats.url) as client:
        return await stream_state(client, ORDER_STREAM) is not None


async def followed(nats: LiveServer, known: Head) -> Head:
    """What a reader comes to: one that begins, and one that had read all of it before the damage. Corrupt."""
    async with connected(nats.url) as client:
        journal = await order_journal(client)
        for after in (Head(), known):
            follower = JournalSubscription(journal, ORDER_COMMITS, lambda commits: None, after=after, wait_s=0)
            running = asyncio.create_task(follower.run())
            async with asyncio.timeout(STARTS_WITHIN_S):
                while not (running.done() or follower.caught_up):
                    await asyncio.sleep(0.005)
            await cancelled(running)
            if not running.cancelled():
                running.result()
        return follower.head


async def verified(nats: LiveServer, home: Path) -> str:
    """The first difference that `trade verify` tells of; empty when there is none."""
    async with connected(nats.url) as client:
        sides = Sides(mark=mark_at(home).kept.read, orders=SqliteOrderStore(home / ORDERS_FILE).picture)
        return (await verify(await order_journal(client), sides)).first_difference or ""
