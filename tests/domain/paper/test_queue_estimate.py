"""Paper venues on a real market: others' size ahead of a resting order is traded by the market's prints, and then the order is."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.codec import CommitCodec
from domain.market.quotes import Quote
from domain.paper.book import UNSEEN
from domain.paper.events import Cancel, Message, Reported, TradePrint, VenueEvent
from domain.paper.venue import PaperVenue
from domain.values import ZERO, Side
from tests.domain.paper.scene import INSTRUMENT, book_of, check, new_venue, request, state
from tests.domain.paper.test_properties import DEEDS, LOTS, PRICES, REPLACES, quotes, requests


def estimating(**rules: object) -> PaperVenue:
    return new_venue(estimated=True, **rules)


def ahead(venue: PaperVenue, name: str) -> Decimal | None:
    return venue.queue_ahead(venue.orders[name])


def test_a_print_trades_those_ahead_first_and_the_order_with_what_is_left_of_it() -> None:
    venue = check(
        """quote 5x99 10x100
           A buy 3 @99
           > A accepted, A behind 5
           print sell 3 @99
           > 3 before it
           print sell 4 @99
           > 2 before it, A fill 2 @99 maker
           print sell 4 @99
           > A fill 1 @99 maker
           print sell 4 @99
           > nothing""",
        estimating(),
    )
    assert venue.displays["X"].size(Side.BUY, None) == 10, "what others sold is not taken from those who offer"


def test_a_seller_is_traded_by_buyers() -> None:
    check(
        """quote 5x99 10x100
           A sell 3 @100
           > A accepted, A behind 10
           print sell 20 @99
           > nothing
           print buy 11 @100
           > 10 before it, A fill 1 @100 maker""",
        estimating(),
    )


def test_each_part_of_a_print_is_used_once_and_the_oldest_order_comes_first() -> None:
    check(
        """quote 5x99 10x100
           A buy 3 @99
           > A accepted, A behind 5
           B buy 3 @99
           > B accepted, B behind 5
           quote 9x99 10x100
           > nothing
           C buy 3 @99
           > C accepted, C behind 9
           print sell 9 @99
           > 5 before it, A fill 3 @99 maker, B fill 1 @99 maker
           print sell 7 @99
           > B fill 2 @99 maker, 4 before it, C fill 1 @99 maker""",
        estimating(),
    )


def test_a_print_through_the_price_goes_to_the_best_order_first_whatever_was_ahead() -> None:
    venue = check(
        """book 5x99 7x98.5 9x98 | 10x100
           A buy 3 @99
           > A accepted, A behind 5
           B buy 3 @98.5
           > B accepted, B behind 7
           C buy 3 @98
           > C accepted, C behind 9
           print sell 5 @98
           > behind 0 at most @99, behind 0 at most @98.5, A fill 3 @99 maker, B fill 2 @98.5 maker
           print sell 2 @98
           > B fill 1 @98.5 maker, 1 before it""",
        estimating(),
    )
    assert ahead(venue, "C") == 8


def test_a_quote_that_reaches_the_price_fills_with_nothing_ahead() -> None:
    """An offer at the price has met every bid there: in the market nothing is ahead any more."""
    check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           quote 5x98.5 3x99
           > A fill 3 @99 maker, behind 0 at most @99""",
        estimating(),
    )


def test_a_smaller_size_shown_lowers_the_size_ahead_and_a_larger_one_is_behind() -> None:
    venue = check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           quote 8x99 10x100
           > nothing
           quote 2x99 10x100
           > behind 2 at most @99
           quote 8x99 10x100
           > nothing
           print sell 1 @99
           > 1 before it""",
        estimating(),
    )
    assert ahead(venue, "A") == 1


def test_a_print_and_the_smaller_size_shown_after_it_are_counted_once() -> None:
    venue = check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           print sell 2 @99
           > 2 before it
           quote 3x99 10x100
           > nothing""",
        estimating(),
    )
    assert ahead(venue, "A") == 3


def test_an_order_inside_the_spread_is_first_there() -> None:
    venue = check(
        """quote 5x99 10x100
           A buy 4 @99.5
           > A accepted
           quote 6x99.5 10x100
           > nothing
           print sell 1 @99.5
           > A fill 1 @99.5 maker""",
        estimating(),
    )
    assert ahead(venue, "A") == 0


def test_the_size_ahead_at_a_price_that_is_not_shown_is_unknown_until_it_is_shown() -> None:
    venue = check(
        f"""quote 5x99 10x100
           A buy 4 @98
           > A accepted, A behind {UNSEEN}
           print sell 50 @98
           > 50 before it""",
        estimating(),
    )
    assert ahead(venue, "A") is None
    check(
        """book 5x99 7x98.5 | 10x100
           > nothing
           book 5x99 7x98.5 9x97.5 | 10x100
           > behind 50 at most @98
           print sell 1 @98
           > A fill 1 @98 maker""",
        venue,
    )


@pytest.mark.parametrize("flags", [("stale",), ()], ids=["stale", "without sizes, as in a recorded market"])
def test_a_quote_that_ended_shows_nothing_of_those_ahead(flags: tuple[str, ...]) -> None:
    venue = check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5""",
        estimating(),
    )
    ended = Quote(symbol="X", venue="V", bid=Decimal(99), bid_size=ZERO, ask=Decimal(100), ask_size=ZERO, at=0, flags=flags)
    assert venue.take(ended, 0) == ()
    assert ahead(venue, "A") == 5


def test_a_larger_quantity_or_another_price_loses_the_place_and_a_smaller_quantity_keeps_it() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           print sell 3 @99
           > 3 before it
           replace A 2 @99
           > A replaced 2 @99
           print sell 3 @99
           > 2 before it, A fill 1 @99 maker
           replace A 6 @99
           > A replaced 6 @99, A behind 5
           replace A 6 @99.5
           > A replaced 6 @99.5""",
        estimating(),
    )


def test_a_print_of_less_than_a_lot_trades_those_ahead_and_no_order() -> None:
    check(
        """quote 5x99 10x100
           A buy 4 @99
           > A accepted, A behind 5
           print sell 4.97 @99
           > 4.97 before it
           print sell 0.15 @99
           > 0.03 before it, A fill 0.1 @99 maker""",
        estimating(),
    )


@pytest.mark.parametrize("rules", [{"estimated": True}, {}], ids=["halted", "without the estimate"])
def test_no_print_trades_at_a_halted_venue_or_at_one_without_the_estimate(rules: dict[str, object]) -> None:
    venue = check("A buy 4 @99", new_venue(**rules))
    if rules:
        check("halt\n> halted", venue)
    check("print sell 4 @98\n> nothing", venue)


# An obvious model: one list of those who wait at one price, others and ours, from which prints take at the front


class ObviousQueue:
    """Others' size is anonymous: what the market no longer shows left from behind the last order, then from ahead of it."""

    def __init__(self, shown: int) -> None:
        self.shown = shown
        self.orders: list[list[int]] = []
        """Of each order, what is ahead of it and what is left of it."""

    def join(self, lots: int) -> None:
        self.orders.append([max([self.shown, *(ahead for ahead, _ in self.orders)]), lots])

    def show(self, lots: int) -> None:
        self.shown = lots
        self.orders = [[min(ahead, lots), left] for ahead, left in self.orders]

    def trade(self, lots: int) -> list[int]:
        """Return what each order got."""
        got, others = [], 0
        for order in self.orders:
            passed = min(max(order[0] - others, 0), lots)
            others, lots = others + passed, lots - passed
            got.append(min(order[1], lots))
            lots -= got[-1]
        self.orders = [[max(ahead - others, 0), left - took] for (ahead, left), took in zip(self.orders, got, strict=True) if left > took]
        return [took for took in got if took]


STEPS = st.lists(st.tuples(st.sampled_from(["join", "show", "trade"]), st.integers(1, 12)), max_size=40)
PRICE = Decimal(99)


@given(st.integers(1, 12), STEPS)
def test_the_venue_and_an_obvious_queue_agree_on_every_fill_and_every_size_ahead(shown: int, steps: list[tuple[str, int]]) -> None:
    venue, queue, lot = estimating(), ObviousQueue(shown), INSTRUMENT.lot
    check(f"quote {shown * lot}x99 10x100", venue)
    for n, (step, lots) in enumerate(steps):
        if step == "join":
            queue.join(lots)
            venue.take(request(f"O{n}", Side.BUY, lots * lot, price=PRICE), n)
        elif step == "show":
            queue.show(lots)
            check(f"quote {lots * lot}x99 10x100", venue)
        else:
            reports = [
                event.report for event in venue.take(TradePrint("X", Side.SELL, PRICE, lots * lot), n) if isinstance(event, Reported)
            ]
            assert [report.quantity for report in reports] == [took * lot for took in queue.trade(lots)]
        resting = list(venue.books["X"].limits[Side.BUY])
        assert [(venue.queue_ahead(o), o.leaves) for o in resting] == [(ahead * lot, left * lot) for ahead, left in queue.orders]


PRINTS = st.builds(TradePrint, st.just("X"), st.sampled_from(Side), PRICES, LOTS.map(lambda size: size * Decimal("1.3")))
BOOKS = st.sampled_from(["5x99 7x98.5 3x97 | 2x100 4x103", "2x99 3x97 | 6x100", "1x98.5 | 1x99 4x100"]).map(book_of)
DAY = st.lists(st.one_of(quotes(), BOOKS, PRINTS, PRINTS, requests(), requests(), requests().map(Cancel), REPLACES, DEEDS), max_size=60)
COMMITS: CommitCodec[VenueEvent] = CommitCodec(VenueEvent)


@given(DAY)
def test_the_same_day_makes_the_same_journal_and_the_journal_makes_the_same_venue(messages: list[Message]) -> None:
    first, second, again = estimating(), estimating(), estimating()
    events = [event for now, message in enumerate(messages) for event in first.take(message, now)]
    journal = COMMITS.encode(0, 1, events)
    assert COMMITS.encode(0, 1, [event for now, message in enumerate(messages) for event in second.take(message, now)]) == journal
    for event in COMMITS.decode(journal).events:
        again.evolve(event)
    assert state(again) == state(first)


@given(DAY)
def test_a_print_gives_no_more_than_it_has_and_only_to_orders_that_may_trade_there(messages: list[Message]) -> None:
    venue = estimating()
    for now, message in enumerate(messages):
        left = message.quantity if isinstance(message, TradePrint) else ZERO
        for event in venue.take(message, now):
            if isinstance(event, Reported) and event.printed:
                assert isinstance(message, TradePrint)
                report = event.report
                assert report.quantity is not None
                assert report.price is not None
                assert report.side is not message.side
                assert report.price >= message.price if report.side is Side.BUY else report.price <= message.price
                left -= report.quantity
        assert left >= 0
    assert all(order.leaves >= 0 or order.state != "working" for order in venue.orders.values())
