"""What every store of positions promises: one step for data and checkpoint, exact numbers, keys that cannot be confused."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from adapters.memory import MemoryPositions
from adapters.valkey import ValkeyPositions, position_key
from domain.ports import Positions, Unavailable
from domain.position.position import Position
from domain.values import IDENTIFIER, SYMBOL
from tests.live import LiveServer

DATABASE = 9
HOSTILE = ("", "a:b", "'; DROP", "a\nb", "a,b", "a=b", "a b", "*", "a\0", "é", "a\r\nFLUSHALL\r\n", "x" * 65, "BTC~USDT", "{BTC}")


@pytest.fixture(params=["memory", "valkey"])
async def positions(request: pytest.FixtureRequest) -> AsyncIterator[Positions]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryPositions()
        return
    server: LiveServer = request.getfixturevalue("valkey_server")
    async with Redis.from_url(server.url, db=DATABASE) as client:
        await client.flushdb()
    store = ValkeyPositions.at(server.url, database=DATABASE)
    yield store
    await store.close()


def position(account: str = "alice", symbol: str = "BTCUSDT", quantity: str = "1", **rest: object) -> Position:
    return Position(account=account, symbol=symbol, quantity=Decimal(quantity), cost=Decimal(quantity) * 50, **rest)  # type: ignore[arg-type]


async def test_an_empty_store_is_at_zero(positions: Positions) -> None:
    assert await positions.checkpoint() == 0
    assert await positions.load() == []
    assert await positions.of("alice") == ([], 0)


async def test_positions_come_back_to_the_last_digit(positions: Positions) -> None:
    exact = Position(
        account="alice",
        symbol="BTC/USDT",
        quantity=Decimal("-999999999999999999.123456789012"),
        cost=Decimal("-0.000000000001"),
        realised_pnl=Decimal("123456789012345678901234567890.123456789012345678901234"),
        fees=Decimal("1E-36"),
        last_price=Decimal("1E+3"),
        updated_at=1_700_000_000_123_456_789,
        seq=7,
    )
    assert await positions.store([exact], after=0, seq=7)
    assert await positions.load() == [exact]
    assert await positions.of("alice") == ([exact], 7)


async def test_an_account_reads_its_own_positions_with_the_sequence_they_stand_for(positions: Positions) -> None:
    mine = [position(symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
    await positions.store([*mine, position(account="alice2")], after=0, seq=5)
    await positions.store([], after=5, seq=6)
    found, seq = await positions.of("alice")
    assert (sorted(p.symbol for p in found), seq) == (["BTCUSDT", "ETHUSDT"], 6)


async def test_a_store_from_another_place_changes_nothing(positions: Positions) -> None:
    assert await positions.store([position(quantity="1")], after=0, seq=5)
    assert not await positions.store([position(quantity="2")], after=0, seq=6)
    assert not await positions.store([position(quantity="3")], after=4, seq=6)
    assert not await positions.store([position(quantity="4")], after=6, seq=7)
    assert (await positions.of("alice"))[0] == [position(quantity="1")]
    assert await positions.checkpoint() == 5


async def test_of_writers_at_the_same_place_one_wins(positions: Positions) -> None:
    won = await asyncio.gather(*(positions.store([position(quantity=str(n))], after=0, seq=1) for n in range(1, 9)))
    assert won.count(True) == 1
    assert await positions.load() == [position(quantity=str(won.index(True) + 1))]


async def test_what_the_caller_changes_later_is_not_stored(positions: Positions) -> None:
    changing = position(quantity="1")
    await positions.store([changing], after=0, seq=1)
    changing.quantity = Decimal(2)
    (found,) = await positions.load()
    assert found.quantity == 1
    found.quantity = Decimal(3)
    assert (await positions.load())[0].quantity == 1


async def test_clear_forgets_everything(positions: Positions) -> None:
    await positions.store([position(), position(account="bob", symbol="BTC/USDT")], after=0, seq=5)
    await positions.clear()
    assert (await positions.checkpoint(), await positions.load(), await positions.of("bob")) == (0, [], ([], 0))
    assert await positions.store([position(quantity="9")], after=0, seq=1)


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_name_that_could_be_read_as_more_than_itself_is_refused(positions: Positions, text: str) -> None:  # FAILURES 63
    for bad in (position(account=text), position(symbol=text)):
        with pytest.raises(ValueError, match=r"not an? (account|symbol)"):
            await positions.store([position(), bad], after=0, seq=1)
    with pytest.raises(ValueError, match="not an account"):
        await positions.of(text)
    assert (await positions.checkpoint(), await positions.load()) == (0, [])


names = st.tuples(st.from_regex(IDENTIFIER, fullmatch=True), st.from_regex(SYMBOL, fullmatch=True))


@given(names, names)
def test_two_positions_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:  # FAILURES 63
    assert (position_key(*one) == position_key(*other)) == (one == other)
    assert position_key(*one).count(":") == 2


async def test_the_key_and_its_fields_are_those_that_other_programs_read(fresh_valkey: LiveServer) -> None:
    store = ValkeyPositions.at(fresh_valkey.url)
    await store.store([position(quantity="0.1", last_price=Decimal("45000.10"), updated_at=12, seq=3)], after=0, seq=3)
    async with Redis.from_url(fresh_valkey.url, db=5, decode_responses=True) as client:
        assert await client.hgetall("position:alice:BTCUSDT") == {
            "quantity": "0.1",
            "last_price": "45000.1",
            "average_price": "50",
            "realised_pnl": "0",
            "fees": "0",
            "cost": "5",
            "updated_at": "12",
            "seq": "3",
        }
        assert await client.keys("position*") == ["position:alice:BTCUSDT"]
    await store.close()


async def test_a_time_to_live_takes_flat_positions_only_and_loses_nothing(fresh_valkey: LiveServer) -> None:
    store = ValkeyPositions.at(fresh_valkey.url, position_ttl_sec=1)
    flat = position(symbol="FLAT", quantity="0", realised_pnl=Decimal("12.5"), fees=Decimal(1), seq=2)
    again = position(symbol="AGAIN", quantity="0", seq=1)
    await store.store([again], after=0, seq=1)
    await store.store([flat, position(symbol="AGAIN", seq=2), position(symbol="OPEN", seq=2)], after=1, seq=2)
    async with Redis.from_url(fresh_valkey.url, db=5) as client:
        async with asyncio.timeout(120):
            while await client.exists("position:alice:FLAT"):
                await asyncio.sleep(0.05)
        assert [await client.ttl(f"position:alice:{symbol}") for symbol in ("AGAIN", "OPEN")] == [-1, -1]
    assert sorted(p.symbol for p in (await store.of("alice"))[0]) == ["AGAIN", "OPEN"]
    assert next(p for p in await store.load() if p.symbol == "FLAT") == flat, "its PnL continues from where it was"
    await store.close()


async def test_a_position_deleted_by_hand_makes_the_store_forget_all_rather_than_guess(fresh_valkey: LiveServer) -> None:
    store = ValkeyPositions.at(fresh_valkey.url)
    await store.store([position(), position(symbol="ETHUSDT")], after=0, seq=2)
    async with Redis.from_url(fresh_valkey.url, db=5) as client:
        await client.delete("position:alice:ETHUSDT")
    with pytest.raises(Unavailable, match="deleted"):
        await store.load()
    assert (await store.checkpoint(), await store.load()) == (0, [])
    await store.close()


async def test_a_server_without_our_function_gets_it_again(fresh_valkey: LiveServer) -> None:  # FAILURES 19
    store = ValkeyPositions.at(fresh_valkey.url)
    await store.store([position()], after=0, seq=1)
    async with Redis.from_url(fresh_valkey.url) as client:
        await client.flushall()
        await client.function_flush()
    assert not await store.store([position(quantity="2")], after=1, seq=2)
    assert await store.store([position(quantity="2")], after=0, seq=2)
    await store.close()


async def test_a_frozen_server_is_unavailable_within_the_timeout(fresh_valkey: LiveServer) -> None:  # FAILURES 22
    store = ValkeyPositions.at(fresh_valkey.url)
    await store.store([position()], after=0, seq=1)
    fresh_valkey.freeze()
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable) as trouble:
            await store.store([position()], after=1, seq=2)
    assert trouble.value.unknown
    fresh_valkey.thaw()
    async with asyncio.timeout(120):
        while await store.checkpoint() not in (1, 2):
            await asyncio.sleep(0.01)
    await store.close()


async def test_a_full_server_refuses_the_write_and_keeps_what_it_has(fresh_valkey: LiveServer) -> None:  # FAILURES 20
    store = ValkeyPositions.at(fresh_valkey.url)
    await store.store([position()], after=0, seq=1)
    async with Redis.from_url(fresh_valkey.url) as client:
        await client.config_set("maxmemory", "1mb")
        with pytest.raises(Unavailable, match="maxmemory"):
            await store.store([position(symbol=f"S{n}") for n in range(1000)], after=1, seq=2)
        await client.config_set("maxmemory", "0")
    assert (await store.checkpoint(), len(await store.load())) == (1, 1)
    await store.close()
