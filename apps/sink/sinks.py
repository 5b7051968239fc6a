"""What makes a sink the one or the other: its pipelines, and its routes."""

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import APIRouter

from apps.sink.pipeline import Pipeline


class SinkParts(NamedTuple):
    pipelines: Sequence[Pipeline]
    routers: Sequence[APIRouter] = ()
    """Routes besides those of every sink."""
