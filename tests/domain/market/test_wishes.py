"""Wishes are sent once, repeated with growing distance, and become a new connection only if nothing else helps."""

from domain.market.venues.feed import Wish, WishKind
from domain.market.wishes import Wishes, WishPace

S = 1_000_000_000
PACE = WishPace(first=2 * S, most=16 * S, resyncs_max=3, connection=30 * S)
RESYNC = Wish(kind=WishKind.RESYNC, symbol="BTC", reason="a gap")
RECONNECT = Wish(kind=WishKind.RECONNECT, reason="mute")


def sent(wishes: Wishes, until_s: int) -> list[tuple[int, str]]:
    return [(second, wish.kind.value) for second in range(until_s) for wish in wishes.due(second * S)]


def test_one_resync_is_in_flight_and_it_is_repeated_with_distance_then_the_connection_is_replaced() -> None:
    wishes = Wishes(PACE)
    wishes.settled("BTC")
    wishes.want(RESYNC, 0)
    wishes.want(RESYNC, 0)
    assert sent(wishes, 40) == [(0, "resync"), (2, "resync"), (6, "resync"), (14, "reconnect"), (30, "resync")]


def test_what_came_back_is_not_asked_for_again() -> None:
    wishes = Wishes(PACE)
    wishes.want(RESYNC, 0)
    assert wishes.due(0) == [RESYNC]
    wishes.settled("BTC")
    assert (sent(wishes, 100), wishes.open) == ([], 0)


def test_a_new_connection_settles_every_wish() -> None:
    wishes = Wishes(PACE)
    wishes.want(RECONNECT, 0)
    wishes.want(RECONNECT, 0)
    assert (wishes.due(0), wishes.due(29 * S), wishes.due(30 * S)) == ([RECONNECT], [], [RECONNECT])
    wishes.want(RESYNC, 30 * S)
    wishes.connected()
    assert wishes.open == 0


def test_a_symbol_that_never_came_is_asked_for_later_and_never_costs_the_connection() -> None:  # listing gone
    wishes = Wishes(PACE)
    wishes.settled("BTC")
    wishes.connected()
    wishes.want(RESYNC, 0, after=10 * S)
    wishes.want(RESYNC, S, after=20 * S)
    assert sent(wishes, 200)[:5] == [(10, "resync"), (12, "resync"), (16, "resync"), (24, "resync"), (40, "resync")]
    assert {kind for _, kind in sent(wishes, 1000)} <= {"resync"}


def test_a_wish_that_waits_is_sent_at_once_when_the_book_breaks() -> None:
    wishes = Wishes(PACE)
    wishes.want(RESYNC, 0, after=10 * S)
    assert wishes.due(0) == []
    wishes.want(RESYNC, S)
    assert sent(wishes, 20) == [(1, "resync"), (3, "resync"), (7, "resync"), (15, "resync")]
