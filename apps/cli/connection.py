"""The NATS connection of one command."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.client import Client

from adapters import bus
from apps.cli.client import START
from apps.cli.trouble import Unreachable
from apps.runtime import program_logs
from domain.ports import Unavailable

CONNECT_TIMEOUT_S: Final = 3.0


@asynccontextmanager
async def connected(url: str, name: str, closed: Callable[[], None] = lambda: None) -> AsyncIterator[Client]:
    """Open a NATS connection for the duration of a block. Unreachable if NATS does not answer within CONNECT_TIMEOUT_S.

    Log output is suppressed while connecting and closing: the client warns on every attempt and reports its own close as a loss.
    """
    program_logs.only(logging.CRITICAL)
    try:
        client = await bus.connect(url, name, closed=closed, timeout_s=CONNECT_TIMEOUT_S)
    except Unavailable as error:
        raise Unreachable(f"NATS at {bus.without_password(url)} does not answer.", START) from error
    program_logs.only(logging.WARNING)
    try:
        yield client
    finally:
        program_logs.only(logging.CRITICAL)
        await client.close()
