"""Connections on which nothing is asked any more are closed after their time. FAILURES 60."""

import asyncio

import pytest

from apps.http import limits
from apps.http.access import Access
from apps.http.app import fast_path, serve
from tests.apps.test_bounds import GOOD, LOCAL, Seen, connected


async def test_what_is_idle_for_too_long_is_closed_and_what_is_being_answered_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_MAX_S", 0.2)
    seen = Seen()
    door = await serve(fast_path(seen, {("POST", "/"): seen}), LOCAL, 0, Access(["x"]), None)
    async with connected(door) as idle, connected(door) as busy:
        await idle.send(GOOD)
        assert await idle.answer() == (200, {"size": 2})
        seen.hold.clear()
        await busy.send(GOOD)
        assert await idle.closed()
        await asyncio.sleep(0.3)
        seen.hold.set()
        assert await busy.answer() == (200, {"size": 2})
    await door.stop()
