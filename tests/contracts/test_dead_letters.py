"""What every store of dead letters promises: once each, newest first, bounded, and counted even when they made room."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.dead_letters import SqliteDeadLetters
from adapters.memory_places import MemoryDeadLetters
from domain.archive.ports import DeadLetter, DeadLetters
from domain.ports import Unavailable

LETTERS_MAX = 3


def letter(n: int, place: str = "questdb MARKET") -> DeadLetter:
    return DeadLetter(place=place, table="trades", part="trades.A", epoch=1, n=n, i=0, at=n, reason=f"reason {n}", row='{"é": 1}')


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], DeadLetters]:
    """Opens the same letters, as each process of a service would."""
    if request.param == "memory":
        memory = MemoryDeadLetters(LETTERS_MAX)
        return lambda: memory

    def sqlite() -> DeadLetters:
        letters = SqliteDeadLetters(tmp_path / "new" / "letters.db", LETTERS_MAX)
        request.addfinalizer(letters.close)
        return letters

    return sqlite


def test_letters_are_kept_once_each_newest_first(opened: Callable[[], DeadLetters]) -> None:
    opened().put([letter(1), letter(2, "s3 MARKET")])
    opened().put([letter(2, "s3 MARKET"), letter(1), letter(3)])
    assert opened().newest(10) == [letter(3), letter(2, "s3 MARKET"), letter(1)]
    assert opened().newest(1) == [letter(3)]
    assert opened().counts() == {"questdb MARKET": 2, "s3 MARKET": 1}


def test_the_oldest_make_room_and_stay_counted(opened: Callable[[], DeadLetters]) -> None:
    for n in range(1, 6):
        opened().put([letter(n)])
    assert [each.n for each in opened().newest(10)] == [5, 4, 3]
    assert opened().counts() == {"questdb MARKET": 5}


def test_a_file_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        SqliteDeadLetters(tmp_path / "file" / "letters.db").put([letter(1)])
