"""`trade replay positions`: the journal alone against what readers see, on real servers and in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import pytest
import structlog
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from adapters import bus
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import ensure_stream
from adapters.memory import MemoryJournal, MemoryPositions
from adapters.subjects import ORDER_STREAM
from adapters.valkey import DATABASE, ValkeyPositions, position_key
from apps.cli.main import app
from apps.connections.journals import order_journal
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop
from apps.tools.rebuild import Rebuilt, compare, repair
from domain.order.events import OrderEvent
from domain.ports import Head, Journal, Positions, Unavailable
from domain.position.position import Position, PositionBook
from tests.contracts.facts import busted, filled, queued, submitted
from tests.live import LiveServer

T = TypeVar("T")

FIRST: Final = filled("E1", "3", "50")
COMMITS: Final[tuple[tuple[OrderEvent, ...], ...]] = (
    (submitted("O1"), queued("O1"), submitted("O2", account="bob")),
    (FIRST, filled("E2", "7", "51.123456789012", account="bob", order_id="O2")),
    (filled("E3", "4", "49", side="sell"), queued("O2")),
    (filled("E4", "1", "2000", symbol="ETHUSDT"), busted(FIRST)),
)
EVENTS: Final = sum(map(len, COMMITS))


def folded(commits: Sequence[Sequence[OrderEvent]] = COMMITS) -> list[Position]:
    book = PositionBook()
    for seq, events in enumerate(commits, 1):
        for event in events:
            book.apply(event, seq)
    return list(book.positions.values())


async def journaled(journal: Journal, commits: Sequence[Sequence[OrderEvent]] = COMMITS) -> None:
    head = await journal.head()
    for events in commits:
        head = await journal.append(ORDER_COMMITS.encode(0, head.n + 1, events), head)


async def projected(positions: Positions, upto: int = len(COMMITS)) -> None:
    """What a projector would have stored."""
    assert await positions.store(folded(COMMITS[:upto]), after=await positions.checkpoint(), seq=upto)


# The command, on real servers


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process, which here is ours."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class World:
    """A journal with four commits, and a Valkey."""

    def __init__(self, nats: LiveServer, valkey: LiveServer) -> None:
        self.nats, self.valkey = nats, valkey

    def fill_journal(self) -> "World":
        async def fill() -> None:
            client = await bus.connect(self.nats.url, "test", closed=lambda: None)
            await ensure_stream(client, ORDER_STREAM, ["oms.journal.*"], 2**28)
            await journaled(await order_journal(client))
            await client.close()

        asyncio.run(fill())
        return self

    def with_positions(self, do: Callable[[ValkeyPositions], Awaitable[T]]) -> T:
        async def doing() -> T:
            positions = ValkeyPositions.at(self.valkey.url)
            try:
                return await do(positions)
            finally:
                await positions.close()

        return asyncio.run(doing())

    def tamper(self, *command: str | int) -> None:
        async def tampering() -> None:
            async with Redis.from_url(self.valkey.url, db=DATABASE) as client:
                await client.execute_command(*command)  # type: ignore[no-untyped-call]

        asyncio.run(tampering())

    def replay(self, words: str = "") -> Result:
        environment = {"TRADE_NATS_URL": self.nats.url, "TRADE_VALKEY_URL": self.valkey.url}
        return CliRunner(env=environment).invoke(app, f"replay positions {words}")


@pytest.fixture
def world(fresh_nats: LiveServer, fresh_valkey: LiveServer) -> World:
    return World(fresh_nats, fresh_valkey).fill_journal()


def test_the_same_is_0_and_says_what_was_rebuilt(world: World) -> None:
    world.with_positions(projected)
    ended = world.replay()
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == f"4 commits, {EVENTS} events, 3 positions rebuilt; identical to Valkey as of sequence 4\n"


def test_a_projector_that_is_behind_is_compared_where_it_stands(world: World) -> None:
    world.with_positions(lambda positions: projected(positions, upto=2))
    said = world.replay().stdout.splitlines()
    assert said[0].startswith("2 commits, ")
    assert said[0].endswith("2 positions rebuilt; identical to Valkey as of sequence 2")
    assert said[1] == "the journal has reached sequence 4: the projector is 2 behind"


def test_a_difference_is_1_and_a_table_of_what_differs(world: World) -> None:
    world.with_positions(projected)
    world.tamper("HSET", position_key("bob", "BTCUSDT"), "quantity", "8")
    ended = world.replay()
    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[1].split() == ["bob", "BTCUSDT", "quantity", "7", "8"]
    assert ended.stderr.splitlines()[1] == "Repair Valkey from the journal: trade replay positions --write"
    assert world.replay("--account alice").exit_code == 0
    assert world.replay("--account bob").exit_code == 1


def test_looking_changes_nothing_even_where_a_position_is_missing(world: World) -> None:
    world.with_positions(projected)
    world.tamper("DEL", position_key("bob", "BTCUSDT"))
    ended = world.replay()
    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[1].split() == ["bob", "BTCUSDT", "quantity", "7", "-"]
    assert world.with_positions(lambda positions: positions.checkpoint()) == 4


@pytest.mark.parametrize("account", ["bob", "mallory"])
def test_a_position_that_no_trade_made_is_a_difference(world: World, account: str) -> None:
    made_up = Position(account=account, symbol="DOGE", quantity=Decimal(1000), cost=Decimal(1), seq=4)
    world.with_positions(projected)
    world.with_positions(lambda positions: positions.store([made_up], after=4, seq=4))
    ended = world.replay()
    assert ended.exit_code == 1
    assert ended.stdout.splitlines()[1].split() == [account, "DOGE", "quantity", "-", "1000"]


def test_write_fills_an_empty_valkey_and_looks_at_it_again(world: World) -> None:
    empty = world.replay()
    assert empty.exit_code == 1
    assert empty.stderr.splitlines()[0] == f"4 commits, {EVENTS} events, 3 positions rebuilt; Valkey is empty: values that differ: 3."
    ended = world.replay("--write")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == f"4 commits, {EVENTS} events, 3 positions rebuilt; identical to Valkey as of sequence 4"
    stored = world.with_positions(lambda positions: positions.load())
    assert sorted(stored, key=str) == sorted(folded(), key=str)


def test_write_takes_away_what_the_journal_does_not_know(world: World) -> None:
    world.with_positions(projected)
    made_up = Position(account="mallory", symbol="DOGE", quantity=Decimal(1000), cost=Decimal(1), seq=4)
    world.with_positions(lambda positions: positions.store([made_up], after=4, seq=4))
    assert world.replay("--write").exit_code == 0
    assert world.with_positions(lambda positions: positions.of("mallory")) == ([], 4)


def test_a_valkey_of_another_journal_is_1_until_it_is_written(world: World) -> None:
    world.with_positions(lambda positions: positions.store([], after=0, seq=900))
    ended = world.replay()
    assert ended.exit_code == 1
    assert "it belongs to another journal" in ended.stderr
    assert world.replay("--write").exit_code == 0
    assert world.with_positions(lambda positions: positions.checkpoint()) == 4


def test_positions_as_they_were_need_no_valkey(world: World) -> None:
    world.valkey.kill()
    ended = world.replay("--to-seq 2 --account bob")
    assert ended.exit_code == 0
    assert [line.split()[:3] for line in ended.stdout.splitlines()] == [["account", "symbol", "quantity"], ["bob", "BTCUSDT", "7"]]
    assert ended.stderr.endswith("2 positions rebuilt as of sequence 2; Valkey was not read.\n")
    assert world.replay("--to-seq 5").exit_code == 1


def test_servers_that_do_not_answer_are_3(world: World) -> None:
    world.valkey.kill()
    ended = world.replay()
    assert ended.exit_code == 3
    assert len(ended.stderr.splitlines()) == 2
    world.nats.kill()
    assert world.replay().exit_code == 3


def test_writing_a_part_is_wrong_usage(world: World) -> None:
    assert world.replay("--write --to-seq 2").exit_code == 2
    assert world.replay("--write --account bob").exit_code == 2


def test_a_journal_with_nothing_in_it_is_no_traceback(fresh_nats: LiveServer, valkey_server: LiveServer) -> None:
    ended = World(fresh_nats, valkey_server).replay()  # not even a stream
    assert ended.exit_code == 3
    assert "OMS_JOURNAL" in ended.stderr


# The comparison, in memory


class Moving(MemoryPositions):
    """A projector works while we read: before each account is read, it has stored one more commit."""

    async def of(self, account: str) -> tuple[list[Position], int]:
        stands = await self.checkpoint()
        if stands < len(COMMITS):
            await projected(self, stands + 1)
        return await super().of(account)


async def test_each_account_is_compared_at_the_sequence_it_was_read_at() -> None:
    journal, positions = MemoryJournal(), Moving()
    await journaled(journal)
    await projected(positions, 2)
    rebuilt = Rebuilt(journal)
    await rebuilt.advance(2)
    found = await compare(rebuilt, positions)
    assert (found.differences, found.seq) == ([], 4)


async def test_positions_that_go_back_in_time_are_not_called_different() -> None:
    journal, positions = MemoryJournal(), MemoryPositions()
    await journaled(journal)
    await projected(positions, 2)
    rebuilt = Rebuilt(journal)
    await rebuilt.advance(4)
    with pytest.raises(Unavailable, match="went back"):
        await compare(rebuilt, positions)


async def test_a_flat_position_that_expired_is_no_difference() -> None:
    journal, positions = MemoryJournal(), MemoryPositions()
    await journaled(journal, [(FIRST,), (busted(FIRST),)])
    await positions.store([], after=0, seq=2)
    rebuilt = Rebuilt(journal)
    await rebuilt.advance(2)
    found = await compare(rebuilt, positions)
    assert (found.differences, found.expired) == ([], 1)


async def test_a_running_projector_with_a_wrong_memory_is_corrected_as_well() -> None:
    journal, positions = MemoryJournal(), MemoryPositions()
    await journaled(journal)
    wrong = folded()
    wrong[0].quantity += 1
    await positions.store(wrong, after=0, seq=4)

    async def unpublished(subject: str, payload: bytes) -> None:
        """Position updates are not of this scene."""

    keeper = ProjectionLoop(journal, PositionsProjection(positions, unpublished, dict[str, str]().get), wait_s=0)
    working = asyncio.create_task(keeper.run())
    while keeper.starts == 0:
        await asyncio.sleep(0.01)
    await repair(Rebuilt(journal), journal, positions)
    await journaled(journal, [(filled("E5", "1", "50"),)])
    while await positions.checkpoint() < 5:
        await asyncio.sleep(0.01)
    working.cancel()
    rebuilt = Rebuilt(journal)
    await rebuilt.advance(5)
    assert (await compare(rebuilt, positions)).differences == []


async def test_the_fold_can_continue_from_where_it_stopped() -> None:
    journal = MemoryJournal()
    await journaled(journal)
    at_once, in_steps = Rebuilt(journal), Rebuilt(journal)
    await at_once.advance(4)
    for until in (1, 1, 3, 4):
        await in_steps.advance(until)
    assert in_steps.book.positions == at_once.book.positions
    assert (in_steps.events, in_steps.head) == (at_once.events, at_once.head)
    assert in_steps.head != Head()
