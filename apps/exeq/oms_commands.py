"""Commands from exeq to oms: over NATS, or by a function call when both run in one process."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.connections.unit import Unit
from domain.order.commands import CommandAnswer, ServiceCommand
from domain.ports import Unavailable

_ANSWERS: Final = decoder(list[CommandAnswer])


class OmsCommands(Protocol):
    """The commands of one shard."""

    async def ask(self, commands: Sequence[ServiceCommand], timeout_s: float) -> Sequence[CommandAnswer]:
        """Return one answer per command once all are durable or refused.

        Raises Unavailable when no answer came within `timeout_s`: the commands may be recorded.
        """


class OmsOverNats:
    """Sends commands to oms in another process."""

    def __init__(self, client: Client, shard: int = 0) -> None:
        self._client = client
        self._subject = subjects.commands(shard)

    async def ask(self, commands: Sequence[ServiceCommand], timeout_s: float) -> Sequence[CommandAnswer]:
        reply = await bus.request(self._client, self._subject, encode(commands), timeout_s)
        try:
            answers: list[CommandAnswer] = _ANSWERS.decode(reply)
        except ValueError as error:
            raise Unavailable(f"unreadable reply: {error}") from error
        return answers


class OmsInProcess:
    """Calls oms in this process."""

    def __init__(self, unit: Unit, shard: int = 0) -> None:
        self._unit = unit
        self._shard = shard

    async def ask(self, commands: Sequence[ServiceCommand], timeout_s: float) -> Sequence[CommandAnswer]:
        perform = self._unit.performs.get(self._shard)
        if perform is None:
            raise Unavailable("oms is not started yet")
        waiting: asyncio.Future[Sequence[CommandAnswer]] = asyncio.get_running_loop().create_future()

        def answered(answers: Sequence[CommandAnswer]) -> None:
            if not waiting.done():
                waiting.set_result(answers)

        perform(commands, answered)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiting
        except TimeoutError as silence:
            raise Unavailable("oms did not answer in time") from silence


def oms_commands(client: Client, unit: Unit | None, shard: int = 0) -> OmsCommands:
    return OmsOverNats(client, shard) if unit is None else OmsInProcess(unit, shard)
