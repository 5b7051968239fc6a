"""Reconciliation of venues with the journal, periodically and after a venue comes back, by a helper process of exeq."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
import structlog

from adapters.codec import decoder
from apps.runtime.helper_process import Busy, HelperProcess, NotStarted, TookTooLong
from domain.alarms import DIFFERENCE, KEPT_MAX, Alarm, alarm_views
from domain.execution.reconciliation import OrderDifference
from domain.ports import Clock

log = structlog.get_logger()

MODULE: Final = "apps.tools.reconcile"
PASS_MAX_S: Final = 600.0
SHARE: Final = 20
"""A pass reads what is new; once a day, and after a report on an old order, it reads the whole journal. The pause after a pass is this
many times its duration, so that passes take at most a twentieth of one core."""


class VenuePass(msgspec.Struct, frozen=True):
    """Result of one pass over one venue. `left`: differences that remain after the repairs, or all of them without repairs. `read_from`:
    the sequence up to which the journal had been read before. `shard`: the one that was compared, where there are several."""

    venue: str
    as_of_seq: int
    orders: int
    trades: int
    found: tuple[OrderDifference, ...] = ()
    repaired: int = 0
    left: tuple[OrderDifference, ...] = ()
    read_from: int = 0
    shard: int | None = None


_PASSES: Final = decoder(list[VenuePass])


def beside(environment: Mapping[str, str]) -> HelperProcess:
    """Return the helper process of a pass. `environment`: the variables of its service."""
    return HelperProcess(MODULE, deadline_s=PASS_MAX_S, environment=environment)


class LastPass(msgspec.Struct, frozen=True):
    """The last pass that was made: begin and end in nanoseconds UTC, and its results, without those of venues that gave none."""

    began: int
    ended: int
    venues: tuple[VenuePass, ...]


class MissedPass(msgspec.Struct, frozen=True):
    """When a pass, or a venue's part of it, could not be made, and why."""

    at: int
    reason: str


class VenueReconciliation:
    """Runs a pass every `every_s` seconds, less often while passes are slow, and at once when a venue comes back.

    A failed pass is logged and counted; the next one runs as usual.
    """

    def __init__(self, venues: Iterable[str], every_s: float, program: HelperProcess, clock: Clock, shards: int = 1) -> None:
        """`shards`: of the order journal. A venue is compared with each of them."""
        self.venues = tuple(venues)
        self._shards = shards
        self._clock = clock
        self._every_s = every_s
        self._program = program
        self._wanted = asyncio.Event()
        self.passes = self.failed = self.repaired = 0
        self.left: tuple[OrderDifference, ...] = ()
        self.began: int | None = None
        """When the pass that runs now began (ns UTC); None while none runs."""
        self.last: LastPass | None = None
        self.missed: MissedPass | None = None
        self._logged: set[tuple[str, ...]] = set()
        self._alarms: dict[tuple[str, ...], Alarm] = {}
        """By venue and difference: what the last pass left, as of the first pass that left it."""

    def wanted(self) -> None:
        """Start the next pass now, because a venue came back."""
        self._wanted.set()

    def start(self) -> bool:
        """Start a pass now. Return False, and change nothing, while one runs or is about to."""
        if self.began is not None or self._wanted.is_set():
            return False
        self._wanted.set()
        return True

    @property
    def running(self) -> bool:
        return self.began is not None or self._wanted.is_set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self._every_s
        while self.venues:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            began = loop.time()
            await self.look()
            pause = max(self._every_s, SHARE * (loop.time() - began))

    def stop(self) -> None:
        self._program.stop()

    async def look(self) -> None:
        self.began = self._clock.now_ns()
        try:
            await self._look(self.began)
        finally:
            self.began = None

    async def _look(self, began: int) -> None:
        try:
            ended = await self._program.ask(*self.venues)
        except (Busy, TookTooLong):
            self._missed(f"the pass did not end within {PASS_MAX_S:g} s")
            return
        except NotStarted as trouble:
            self._missed(str(trouble))
            return
        if ended.code:
            self._missed(ended.reason)
            return
        try:
            passes: list[VenuePass] = _PASSES.decode(ended.out)
        except ValueError as error:
            self._missed(f"its output cannot be read: {error}")
            return
        if self.not_compared(passes):
            self._missed(ended.reason)
        self.passes += 1
        self.last = LastPass(began, self._clock.now_ns(), tuple(passes))
        self.repaired += sum(done.repaired for done in passes)
        self.left = tuple(difference for done in passes for difference in done.left)
        for done in passes:
            self._log(done)
        self._logged &= {difference.key for difference in self.left}
        left = {(done.venue, *each.key): _alarm(done, each, self.last.ended) for done in passes for each in done.left}
        self._alarms = {key: self._alarms.get(key, alarm) for key, alarm in left.items()}

    def not_compared(self, passes: Iterable[VenuePass]) -> list[str]:
        """Return the venues that were not compared with every shard."""
        compared = Counter(done.venue for done in passes)
        return [venue for venue in self.venues if compared[venue] < self._shards]

    def _log(self, done: VenuePass) -> None:
        """Log each difference once."""
        left = {difference.key for difference in done.left}
        for found in done.found:
            if found.key in self._logged:
                continue
            if found.key in left:
                self._logged.add(found.key)
            log.error(
                "a venue differs" if found.key in left else "a venue differed and was repaired",
                venue=done.venue,
                what=found.what,
                account=found.account,
                symbol=found.symbol,
                order_id=found.order_id,
                about=found.about,
                ours=found.ours,
                theirs=found.theirs,
            )

    def _missed(self, reason: str) -> None:
        self.failed += 1
        self.missed = MissedPass(self._clock.now_ns(), reason)
        log.warning("a venue could not be compared with the journal", reason=reason)

    def stats(self) -> dict[str, Any]:
        return {"passes": self.passes, "failed": self.failed, "repaired": self.repaired, "differences_left": len(self.left)}

    def alarms(self) -> list[dict[str, Any]]:
        """Return the differences that the last pass left: an operator must examine them. One that lasts stays one alarm."""
        return alarm_views(islice(self._alarms.values(), KEPT_MAX))


def _alarm(done: VenuePass, found: OrderDifference, at: int) -> Alarm:
    what = f"{found.what} of {found.symbol}, ours {found.ours}, theirs {found.theirs}"
    return Alarm(at, DIFFERENCE, f"{done.venue} differs from the journal: {what}.", found.order_id, found.account, done.as_of_seq)
