"""Objects in a directory, as the sinks and the archive use them."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.ports import Missing
from tests.archived import objects_in


async def test_results_come_from_threads_that_the_end_of_a_process_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result from a thread that Python does not know: 14 of 300 processes that ended right behind it were aborted (SIGABRT)."""
    loop = asyncio.get_running_loop()
    hands_over = loop.call_soon_threadsafe
    came_from: set[threading.Thread] = set()

    def noted(callback: Callable[..., Any], *args: Any, **options: Any) -> asyncio.Handle:
        came_from.add(threading.current_thread())
        return hands_over(callback, *args, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", noted)
    objects = objects_in(tmp_path)
    assert await objects.put_new("a/1", b"one")
    await objects.put("a/2", b"two")
    assert await objects.get("a/2") == b"two"
    assert await objects.names("a", after="a/1") == ["a/2"]
    assert await objects.folders("") == ["a"]
    await objects.delete(["a/1", "a/3"])
    with pytest.raises(Missing):
        await objects.get("a/1")
    came_from.discard(threading.main_thread())
    assert came_from
    assert {thread.daemon for thread in came_from} == {False}, "a thread that Python does not know counts as a daemon"
