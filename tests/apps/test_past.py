"""Positions as they were: at every sequence what a straightforward fold makes of the journal, whatever was saved on the way."""

import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, encode
from adapters.memory import MemoryFills, MemoryJournal, MemoryPositions
from apps.http.app import Refusal, application
from apps.oms.accounts import Accounts
from apps.oms.history_client import HistoryProcess
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler
from apps.oms.routes import router
from apps.runtime.helper_process import Busy, Ended, TookTooLong
from apps.tools.history import books as saved
from apps.tools.history.books import Books
from apps.tools.history.fold import book_at
from domain.access.keys import KeyRing
from domain.market.quotes import Market
from domain.order import events as e
from domain.ports import Unavailable
from domain.position.position import Position, PositionBook
from domain.values import use_exact_arithmetic
from tests.apps.callers import as_caller
from tests.apps.oms_house import living
from tests.apps.submits import CURRENCY
from tests.contracts.facts import busted, filled, queued, submitted
from tests.domain.order.histories import Commits, histories

FIRST: Final = filled("E1", "3", "50.000000000001")
HISTORY: Final[tuple[tuple[e.OrderEvent, ...], ...]] = (
    (submitted("O1"), queued("O1"), submitted("O2", account="bob")),
    (FIRST, filled("E2", "7", "51.123456789012", account="bob", order_id="O2")),
    (filled("E3", "4", "49", side="sell"), queued("O2")),
    (queued("O1"),),
    (filled("E4", "1", "2000", symbol="ETH/USDT"), busted(FIRST)),
    (filled("E5", "0.000000000001", "1", account="bob", order_id="O2"),),
)
END: Final = len(HISTORY)


async def journal_of(commits: Sequence[Sequence[e.OrderEvent]] = HISTORY) -> MemoryJournal:
    journal = MemoryJournal()
    for events in commits:
        head = await journal.head()
        await journal.append(ORDER_COMMITS.encode(0, head.n + 1, events), head)
    return journal


def folded(commits: Sequence[Sequence[e.OrderEvent]], seq: int) -> dict[tuple[str, str], Position]:
    book = PositionBook()
    for number, events in enumerate(commits[:seq], 1):
        for event in events:
            book.apply(event, number)
    return book.positions


def files(directory: Path) -> list[Path]:
    return sorted((directory / saved.DIRECTORY).glob("*/*"))


@pytest.mark.parametrize("every", [1, 2, 3, 100])
async def test_at_every_sequence_it_is_what_a_fold_makes_of_the_journal(tmp_path: Path, every: int) -> None:
    journal = await journal_of()
    for seq in [*range(1, END + 1), *range(END, 0, -1), *range(1, END + 1)]:
        book = await book_at(journal, seq, Books(tmp_path), every)
        assert book.positions == folded(HISTORY, seq), f"at {seq}"
        assert (await book_at(journal, seq)).positions == book.positions, "and without any saved book"


@given(histories())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_so_it_is_for_any_history(tmp_path: Path, commits: Commits) -> None:
    use_exact_arithmetic()
    shutil.rmtree(tmp_path / "snapshots", ignore_errors=True)
    journal = await journal_of(commits)
    for seq in [len(commits), *range(1, len(commits) + 1)]:
        assert (await book_at(journal, seq, Books(tmp_path), 3)).positions == folded(commits, seq)


async def test_what_was_saved_need_not_be_read_again(tmp_path: Path) -> None:
    journal = await journal_of()
    await book_at(journal, END, Books(tmp_path), 4)
    assert [int(file.parent.name) for file in files(tmp_path)] == [2, 5]
    for place in range(5):
        journal.log.commits[place] = (journal.log.commits[place][0], b"no reader may look here")
    assert (await book_at(journal, END, Books(tmp_path), 4)).positions == folded(HISTORY, END)


@pytest.mark.parametrize("damage", [b"", b"\n", b"x"])
async def test_a_damaged_book_is_passed_over(tmp_path: Path, damage: bytes) -> None:  # FAILURES 51
    journal = await journal_of()
    await book_at(journal, END, Books(tmp_path), 4)
    last = files(tmp_path)[-1]
    last.write_bytes(damage + last.read_bytes()[:-1] if damage == b"x" else damage)
    assert (await book_at(journal, END, Books(tmp_path), 4)).positions == folded(HISTORY, END)


async def test_a_book_of_another_journal_is_passed_over(tmp_path: Path) -> None:
    other = await journal_of([(filled(f"F{n}", "9", "9"),) for n in range(END)])
    await book_at(other, END, Books(tmp_path), 1)
    assert files(tmp_path)
    journal = await journal_of()
    for seq in range(1, END + 1):
        assert (await book_at(journal, seq, Books(tmp_path), 100)).positions == folded(HISTORY, seq)


async def test_a_book_under_another_name_is_passed_over(tmp_path: Path) -> None:
    journal = await journal_of()
    await book_at(journal, END, Books(tmp_path), 4)
    first, last = (file.parent for file in files(tmp_path))
    last.rename(last.with_name(f"{3:0{saved.DIGITS}}"))
    assert (await book_at(journal, 3, Books(tmp_path), 100)).positions == folded(HISTORY, 3)
    assert first.exists()


async def test_when_there_are_too_many_every_second_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "BOOKS_MAX", 4)
    commits = [(filled(f"F{n}", "1", "9"),) for n in range(40)]
    journal = await journal_of(commits)
    await book_at(journal, 40, Books(tmp_path), 1)
    assert 0 < len(files(tmp_path)) <= 4
    for seq in (1, 17, 39, 40):
        assert (await book_at(journal, seq, Books(tmp_path), 1)).positions == folded(commits, seq)


async def test_a_full_disk_costs_no_answer(tmp_path: Path) -> None:  # FAILURES 48
    (tmp_path / "snapshots").write_text("in the way")
    journal = await journal_of()
    assert (await book_at(journal, END, Books(tmp_path), 1)).positions == folded(HISTORY, END)


async def test_a_sequence_that_is_not_there_is_not_waited_for() -> None:
    with pytest.raises(Unavailable, match="ends at sequence 6"):
        await book_at(await journal_of(), END + 1)


# At the door of oms


class PastInside:
    """Stands for the program beside oms."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    async def positions(self, account: str, seq: int) -> list[Position]:
        return (await book_at(self._journal, seq)).of(account)


async def test_positions_at_a_sequence_come_from_the_journal_and_say_so() -> None:
    journal = await journal_of()
    async with living(journal.log) as (house, _):
        accounts = Accounts(MemoryPositions(), MemoryFills(), Market(), SystemClock(), 10.0, CURRENCY, PastInside(journal))
        replaces = ReplaceHandler(house.host, None, {}, lambda terms: None)  # type: ignore[arg-type]
        served = application("oms", router(house.host, OrderReads(house.host), accounts, replaces, (), KeyRing().may_trade))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(served)), base_url="http://oms") as http:
            for seq in range(1, END + 1):
                answer = await http.get("/positions/alice", params={"at_seq": seq})
                assert (answer.status_code, answer.headers["As-Of-Seq"]) == (200, str(seq))
                held = {p.symbol: p for p in folded(HISTORY, seq).values() if p.account == "alice"}
                assert {symbol: Decimal(str(view["quantity"])) for symbol, view in answer.json().items()} == {
                    symbol: p.quantity for symbol, p in held.items()
                }
            beyond = await http.get("/positions/alice", params={"at_seq": END + 1})
            assert (beyond.status_code, beyond.json()["code"], beyond.json()["as_of_seq"]) == (422, "seq_not_reached", END)
            both = await http.get("/positions/alice", params={"at_seq": 1, "min_seq": 1})
            assert (both.status_code, both.json()["pointer"]) == (400, "?at_seq")
            assert (await http.get("/positions/absent", params={"at_seq": 1})).json() == {}


class Program:
    """Stands for Beside: ends as it is told."""

    def __init__(self, end: Ended | Exception) -> None:
        self.end = end
        self.asked: tuple[str, ...] = ()

    async def ask(self, *arguments: str) -> Ended:
        self.asked = arguments
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


async def test_what_the_program_says_is_the_answer() -> None:
    held = list(folded(HISTORY, END).values())
    program: Any = Program(Ended(0, encode(held), ""))
    assert await HistoryProcess(program).positions("alice", 6) == held
    assert program.asked == ("alice", "6")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (Busy(), "past_busy"),
        (TookTooLong(), "past_timeout"),
        (Ended(3, b"", "warning\nthe journal does not answer"), "past_unavailable"),
        (Ended(-9, b"", ""), "past_unavailable"),
    ],
)
async def test_a_past_that_cannot_be_read_is_refused_with_its_code(end: Ended | Exception, code: str) -> None:
    program: Any = Program(end)
    with pytest.raises(Refusal) as caught:
        await HistoryProcess(program).positions("alice", 6)
    assert (caught.value.status, caught.value.code) == (503, code)
