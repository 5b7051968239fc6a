"""What makes a sink the one or the other: its pipelines, and its routes."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog
from fastapi import APIRouter
from prometheus_client.core import Metric

from apps.runtime.tasks import Task
from apps.sink.pipeline import Pipeline
from domain.ports import Unavailable

log = structlog.get_logger()


class Upkeep(Protocol):
    """Regular work on the contents of a place. `waiting`: what the log says while a server does not answer. `trouble`: its reason."""

    task: Task
    every_s: float
    waiting: str
    trouble: str

    async def look(self) -> object:
        """Do what is due. Unavailable."""

    def series(self) -> Iterator[Metric]: ...

    def stats(self) -> Mapping[str, object]: ...


class SinkParts(NamedTuple):
    pipelines: Sequence[Pipeline]
    routers: Sequence[APIRouter] = ()
    """Routes besides those of every sink."""
    upkeep: Sequence[Upkeep] = ()


async def keep_up(upkeep: Upkeep) -> None:
    """Look until cancelled. While a server does not answer, nothing is changed; the log has each reason once."""
    while True:
        try:
            await upkeep.look()
        except Unavailable as trouble:
            if str(trouble) != upkeep.trouble:
                log.warning(upkeep.waiting, reason=str(trouble))
            upkeep.trouble = str(trouble)
        else:
            upkeep.trouble = ""
        await asyncio.sleep(upkeep.every_s)
