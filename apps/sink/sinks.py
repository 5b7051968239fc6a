"""What makes a sink the one or the other: its pipelines, and its routes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from fastapi import APIRouter
from prometheus_client.core import Metric

from apps.runtime.tasks import Task
from apps.sink.pipeline import Pipeline


class Upkeep(Protocol):
    """What a sink does now and then with what is in a place."""

    task: Task

    async def run(self) -> None: ...

    def series(self) -> Iterator[Metric]: ...

    def stats(self) -> Mapping[str, object]: ...


class SinkParts(NamedTuple):
    pipelines: Sequence[Pipeline]
    routers: Sequence[APIRouter] = ()
    """Routes besides those of every sink."""
    upkeep: Sequence[Upkeep] = ()
