"""`oms.commands.<shard>`: commands of other services, in lists. The reply holds one answer per command."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import subjects
from adapters.codec import decoder, encode
from apps.connections.unit import Answered
from apps.journal.publisher import Publisher
from apps.journal.shard_host import CommandRefused, Landed, ShardHost
from apps.oms.child_spawner import ChildSpawner
from domain.execution.owner import named
from domain.order.commands import AlgoServiceCommand, CommandAnswer, ExeqCommand, ServiceCommand, TakeShard
from domain.order.events import TransitionRefused
from domain.ports import Unavailable
from domain.values import IDENTIFIER

log = structlog.get_logger()

COMMANDS_MAX: Final = 1000

_COMMANDS: Final = decoder(list[ServiceCommand])


class CommandHandler:
    """Executes lists of commands. A command for an unknown order is refused and does not affect the others."""

    def __init__(self, host: ShardHost, children: ChildSpawner, publisher: Publisher, *, failed: Callable[[str], None]) -> None:
        """`failed` ends the process."""
        self._host = host
        self._children = children
        self._publisher = publisher
        self._failed = failed

    async def start(self, client: Client, shard: int) -> None:
        await client.subscribe(subjects.commands(shard), cb=self._on_commands)

    async def _on_commands(self, message: Msg) -> None:
        if self._host.standby:
            return  # the unit that owns the shard answers
        try:
            commands: list[ServiceCommand] = _COMMANDS.decode(message.data)
        except ValueError as error:
            log.warning("unreadable commands", error=str(error))
            self._reply(message, [CommandAnswer(ok=False, code="malformed", detail=str(error))])
            return
        if len(commands) > COMMANDS_MAX:
            self._reply(message, [CommandAnswer(ok=False, code="overloaded", detail=f"at most {COMMANDS_MAX} commands")])
            return
        self.perform(commands, lambda answers: self._reply(message, answers))

    def perform(self, commands: Sequence[ServiceCommand], answered: Answered) -> None:
        """Decide each command now; call `answered` once, with all answers, when the last one is available."""
        try:
            Batch(answered, len(commands)).run(self._host, self._children, commands)
        except Exception as error:  # noqa: BLE001 - the NATS client would swallow it: end the process instead
            self._failed(f"commands cannot be executed: {error!r}")

    def _reply(self, message: Msg, answers: Sequence[CommandAnswer]) -> None:
        if message.reply:
            self._publisher.put(message.reply, encode(answers))


class Batch:
    """The answers of one list, returned together when the last one is available."""

    def __init__(self, answered: Answered, count: int) -> None:
        self._answered = answered
        self._answers: list[CommandAnswer] = [_NONE] * count
        self._open = count

    def run(self, host: ShardHost, children: ChildSpawner, commands: Sequence[ServiceCommand]) -> None:
        if not commands:
            self._answered([])
        for place, command in enumerate(commands):
            if isinstance(command, TakeShard) and not _readable(command):
                self._put(place, CommandAnswer(ok=False, code="malformed", detail="invalid unit, sender or met"))
            elif isinstance(command, TakeShard):
                host.take(command, lambda outcome, place=place: self._put(place, _answer(outcome)))  # type: ignore[misc]
            elif host.ready and isinstance(command, ExeqCommand) and host.is_stale(command):
                self._put(place, CommandAnswer(ok=False, code="stale_sender", epoch=host.book.owner.epoch))
            elif isinstance(command, AlgoServiceCommand):
                children.take(command, partial(self._put, place))
            elif host.ready and _unknown(host, command.order_id):
                self._put(place, CommandAnswer(ok=False, code="order_not_found"))
            else:
                host.execute(command, lambda outcome, place=place: self._put(place, _answer(outcome)))  # type: ignore[misc]

    def _put(self, place: int, answer: CommandAnswer) -> None:
        self._answers[place] = answer
        self._open -= 1
        if self._open == 0:
            self._answered(self._answers)


_NONE: Final = CommandAnswer(ok=False)


def _readable(command: TakeShard) -> bool:
    return bool(command.unit) and named(command.unit, command.met) and IDENTIFIER.fullmatch(command.sender) is not None


def _unknown(host: ShardHost, order_id: str) -> bool:
    """Return whether the order does not exist; False when that cannot be read, as the host then reports the error itself."""
    try:
        return host.find(order_id) is None
    except Unavailable:
        return False


def _answer(outcome: Landed | CommandRefused | Unavailable) -> CommandAnswer:
    if isinstance(outcome, CommandRefused):
        return CommandAnswer(ok=False, code="epoch_moved", epoch=outcome.owner.epoch)
    if isinstance(outcome, Unavailable):
        return CommandAnswer(ok=False, code="outcome_unknown" if outcome.unknown else "journal_unavailable")
    refused = next((event for event in outcome.events if isinstance(event, TransitionRefused)), None)
    if refused is not None:
        return CommandAnswer(ok=False, code="illegal_transition", state=refused.status, seq=outcome.seq)
    return CommandAnswer(ok=True, seq=outcome.seq)
