"""What the programs of point-in-time queries share: they answer on stdout, and their exit code says why they do not."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from nats.aio.client import Client

from adapters import bus
from apps.runtime import helper_process, program_logs
from apps.runtime.exit_codes import Exit
from config.settings import Settings
from domain.ports import Corrupt, Unavailable
from domain.values import use_exact_arithmetic

S = TypeVar("S", bound=Settings)


def answer(load: Callable[[], S], name: str, query: Callable[[S, Client], Awaitable[bytes]]) -> NoReturn:
    """Write the answer. Exit codes: 0 with the answer on stdout, 1 if the journal does not verify, 3 if it cannot be read.

    `load` reads the configuration of the service that asks. `name`: of the connection to NATS.
    """
    helper_process.become_helper()
    use_exact_arithmetic()
    program_logs.only()
    code = Exit.DONE
    try:
        sys.stdout.buffer.write(asyncio.run(_answered(load(), name, query)))
    except Corrupt as damage:
        code = _failed(damage, Exit.REFUSED)
    except Unavailable as trouble:
        code = _failed(trouble, Exit.UNREACHABLE)
    sys.exit(code)


async def _answered(settings: S, name: str, query: Callable[[S, Client], Awaitable[bytes]]) -> bytes:
    client = await bus.connect(settings.nats.url, name, closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    try:
        return await query(settings, client)
    finally:
        await client.close()


def _failed(trouble: Exception, code: Exit) -> Exit:
    print(trouble, file=sys.stderr)
    return code
