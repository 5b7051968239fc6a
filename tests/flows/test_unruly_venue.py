"""The most telling lives of Appendix D on real servers: replaces, races, corrections, halts, silence, and a kill in the middle."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.stack import CHECKOUT, LiveStack

WAIT_S: Final = 120.0
CONFIG: Final = CHECKOUT / "tests/data/config_unruly"
VENUES: Final = ("PAPER_A", "PAPER_B")
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    started = LiveStack(tmp_path_factory.mktemp("unruly") / "data", "--fills", "sqlite", "--config-dir", str(CONFIG)).start()
    yield started
    started.close()


class Desk:
    """One order that rests far below the market, and the staff of its venue."""

    def __init__(self, stack: LiveStack, account: str) -> None:
        self.stack = stack
        self.account = account
        self.oms = stack.client()
        self.gateway = stack.client("live-gateway")
        self.order_id = ""

    def close(self) -> None:
        self.oms.close()
        self.gateway.close()

    def submit(self, **more: Any) -> Answer:
        body = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.5", "price": "40000", "account": self.account}
        answer: Answer = self.oms.post("/orders", json=body | more).json()
        assert answer["status"] == "submitted", answer
        self.order_id = answer["order_id"]
        return answer

    def works(self, **more: Any) -> "Desk":
        self.submit(**more)
        self.until(lambda order: order["status"] == "routed" and order["routes"][0]["venue_order_id"] is not None)
        return self

    @property
    def order(self) -> Answer:
        found: Answer = self.oms.get(f"/orders/{self.order_id}").json()
        return found

    def until(self, so: Callable[[Answer], bool]) -> Answer:
        deadline = time.monotonic() + WAIT_S
        while not so(order := self.order):
            assert time.monotonic() < deadline, (order, self.heard)
            time.sleep(0.02)
        return order

    def is_(self, status: str) -> Answer:
        return self.until(lambda order: order["status"] == status)

    def staff(self, fault: str, **more: Any) -> None:
        venue = self.order["routes"][0]["venue"]
        answer = self.gateway.post(f"/venues/{venue}/faults", json={"fault": fault, **more})
        assert answer.status_code == 200, answer.text

    def trades(self, quantity: str, fault: str = "fill", price: str = "40000") -> None:
        self.staff(fault, order_id=self.order_id, quantity=quantity, price=price)

    def everywhere(self, fault: str, **more: Any) -> None:
        for venue in VENUES:
            assert self.gateway.post(f"/venues/{venue}/faults", json={"fault": fault, **more}).status_code == 200

    def replace(self, **terms: str) -> int:
        return self.oms.patch(f"/orders/{self.order_id}", json=terms).status_code

    @property
    def heard(self) -> list[str]:
        """ExecType/OrdStatus of every step."""
        story = self.oms.get(f"/orders/{self.order_id}/events").json()["events"]
        return [f"{event['exec_type']}/{event['ord_status']}" for event in story if event["exec_type"] is not None]

    @property
    def holds(self) -> Decimal:
        answer = self.oms.get(f"/positions/{self.account}", params={"min_seq": self.order["seq"]})
        return Decimal(str(answer.json().get("BTCUSDT", {"quantity": 0})["quantity"]))


@pytest.fixture
def desk(stack: LiveStack, request: pytest.FixtureRequest) -> Iterator[Desk]:
    opened = Desk(stack, request.node.name[5:60])
    yield opened
    opened.close()


def test_more_and_less_of_an_order_that_trades(desk: Desk) -> None:
    desk.works()
    desk.trades("0.1")
    desk.until(lambda order: order["cum_quantity"] == 0.1)
    assert desk.replace(quantity="0.8", price="40100") == 202
    order = desk.until(lambda order: order["price"] == 40100)
    assert (order["quantity"], order["leaves_quantity"]) == (0.8, 0.7)
    assert desk.replace(quantity="0.05") == 202
    assert desk.is_("filled")["quantity"] == 0.1
    assert desk.heard == ["A/A", "0/0", "F/1", "E/E", "5/1", "E/E", "5/2"]


def test_a_halt_refuses_a_replace_and_not_a_cancel(desk: Desk) -> None:
    desk.works(symbol="ETHUSDT", price="2000", quantity="1")
    desk.everywhere("halt", symbol="ETHUSDT")
    assert desk.replace(quantity="2") == 202
    desk.until(lambda _: desk.heard[-1] == "9/0")
    desk.oms.delete(f"/orders/{desk.order_id}")
    desk.is_("cancelled")
    desk.everywhere("resume", symbol="ETHUSDT")
    assert desk.heard == ["A/A", "0/0", "E/E", "9/0", "6/6", "4/4"]


def test_a_trade_after_the_cancel_is_booked(desk: Desk) -> None:
    # FAILURES 29
    desk.works()
    desk.oms.delete(f"/orders/{desk.order_id}")
    desk.is_("cancelled")
    desk.trades("0.2")
    desk.until(lambda order: order["cum_quantity"] == 0.2)
    assert desk.heard == ["A/A", "0/0", "6/6", "4/4", "F/4"]
    assert desk.holds == Decimal("0.2")


def test_a_venue_that_trades_too_much_is_believed_and_flagged(desk: Desk) -> None:
    # FAILURES 30
    desk.works()
    desk.trades("0.05", fault="overfill")
    order = desk.is_("filled")
    assert (order["overfill"], order["cum_quantity"]) == (True, 0.55)
    assert desk.holds == Decimal("0.55")
    body = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.5", "price": "40000", "account": desk.account}
    deadline = time.monotonic() + WAIT_S
    while (answer := desk.oms.post("/orders", json=body).json()).get("reason") != "killed":
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def test_trades_are_corrected_and_taken_back(desk: Desk) -> None:
    # FAILURES 32
    desk.works()
    desk.trades("0.5")
    desk.is_("filled")
    first = desk.oms.get(f"/orders/{desk.order_id}/events").json()["events"][-1]["exec_id"]
    desk.staff("correct", exec_id=first, price="39000")
    desk.until(lambda order: order["average_price"] == 39000)
    second = desk.oms.get(f"/orders/{desk.order_id}/events").json()["events"][-1]["exec_id"]
    desk.staff("bust", exec_id=second)
    assert desk.is_("routed")["leaves_quantity"] == 0.5
    desk.trades("0.5", price="39500")
    desk.is_("filled")
    assert desk.heard == ["A/A", "0/0", "F/2", "H/0", "G/2", "H/0", "F/2"]
    assert desk.holds == Decimal("0.5")


def test_lost_doubled_and_reordered_reports_are_as_good_as_any(desk: Desk) -> None:
    # FAILURES 26, 27
    desk.works()
    for fault, count in (("drop", 1), ("duplicate", 2), ("reorder", 1)):
        desk.staff(fault, count=count)
    for quantity in ("0.1", "0.2", "0.05", "0.15"):
        desk.trades(quantity)
    desk.is_("filled")
    assert desk.heard == ["A/A", "0/0", "F/1", "F/1", "F/1", "F/2"]
    assert desk.holds == Decimal("0.5")


def test_a_client_that_waits_for_no_acknowledgement_gets_what_it_asks_for(desk: Desk) -> None:
    """The first report of each venue is lost: it has the order, and oms does not know yet."""
    desk.everywhere("drop", count=1)
    desk.submit()
    assert desk.replace(price="40100") in (200, 202)
    desk.until(lambda order: (order["price"], order["status"], order["leaves_quantity"]) == (40100, "routed", 0.5))
    desk.everywhere("drop", count=1)
    desk.submit()
    assert desk.oms.delete(f"/orders/{desk.order_id}").status_code in (200, 202)
    desk.is_("cancelled")
    for venue in VENUES:
        desk.gateway.delete(f"/venues/{venue}/faults")


def test_a_venue_that_is_silent_leaves_a_doubt_and_its_word_ends_it(desk: Desk) -> None:
    # FAILURES 34
    desk.everywhere("freeze", seconds=6)
    desk.submit()
    desk.is_("in_doubt")
    desk.is_("routed")
    assert desk.order["leaves_quantity"] == 0.5
    assert desk.heard == ["A/A", "0/0"]


def test_an_order_that_never_arrived_is_rejected_on_evidence(desk: Desk) -> None:
    # FAILURES 34, 38
    desk.everywhere("forget")
    desk.submit()
    order = desk.is_("rejected")
    assert (order["source"], order["reason"]) == ("exeq", "never_arrived")
    for venue in VENUES:
        desk.gateway.delete(f"/venues/{venue}/faults")


def test_a_venue_cancels_by_itself_and_another_order_is_not_touched(desk: Desk) -> None:
    desk.works()
    other = desk.order_id
    desk.works()
    desk.staff("cancel", order_id=desk.order_id, reason="disconnect")
    assert desk.is_("cancelled")["reason"] == "disconnect"
    answer = desk.oms.delete("/orders", params={"account": desk.account, "side": "sell"}).json()
    assert answer == {"cancelled": 0, "pending": 0}
    answer = desk.oms.delete("/orders", params={"account": desk.account, "symbol": "BTCUSDT"}).json()
    assert answer == {"cancelled": 0, "pending": 1}
    desk.order_id = other
    assert desk.is_("cancelled")["source"] == "venue"


def holding(desk: Desk) -> tuple[str, str, str]:
    """The account bought 0.5, and a reduce-only sell of all of it rests: the sell, the buy, and the buy's trade."""
    desk.works()
    desk.trades("0.5")
    desk.is_("filled")
    entry, bought = desk.order_id, desk.oms.get(f"/orders/{desk.order_id}/events").json()["events"][-1]["exec_id"]
    desk.works(side="sell", price="50000", reduce_only=True)
    return desk.order_id, entry, bought


def test_a_resting_reduce_only_sell_is_cancelled_when_another_order_closes_the_position(desk: Desk) -> None:
    resting, *_ = holding(desk)
    desk.works(side="sell", price="49000")
    desk.trades("0.5", price="49000")
    desk.is_("filled")
    desk.order_id = resting
    ended = desk.is_("cancelled")
    assert (ended["source"], ended["reason"], ended["cum_quantity"]) == ("oms", "reduce_only", 0)
    assert desk.heard == ["A/A", "0/0", "6/6", "4/4"]
    assert desk.holds == 0
    assert desk.oms.get("/stats").json()["reduce_only"]["opened"] == 0


def test_a_resting_reduce_only_sell_is_cut_after_kill_9_of_oms_and_cancelled_when_the_rest_is_taken_back(desk: Desk) -> None:
    resting, entry, bought = holding(desk)
    desk.works(side="sell", price="49000", quantity="0.2")
    desk.stack.revive("oms")
    desk.oms.close()
    desk.oms = desk.stack.client()
    desk.trades("0.2", price="49000")
    desk.is_("filled")
    desk.order_id = resting
    desk.until(lambda order: order["quantity"] == 0.3)
    assert desk.heard == ["A/A", "0/0", "E/E", "5/0"]
    desk.order_id = entry
    desk.staff("bust", exec_id=bought)
    desk.order_id = resting
    assert desk.is_("cancelled")["reason"] == "reduce_only"
    assert desk.heard == ["A/A", "0/0", "E/E", "5/0", "6/6", "4/4"]
    assert desk.holds == Decimal("-0.2")


def test_an_iceberg_shows_no_more_after_kill_9_of_its_gateway(desk: Desk) -> None:
    desk.works(display_quantity="0.2")
    desk.trades("0.1")
    desk.until(lambda order: order["cum_quantity"] == 0.1)
    timeline = desk.oms.get(f"/orders/{desk.order_id}/events").json()["events"]
    (routed,) = [line for line in timeline if line["type"] == "OrderRouted"]
    venue = desk.order["routes"][0]["venue"]
    assert [(leg["venue"], leg["display_quantity"]) for leg in routed["legs"]] == [(venue, 0.2)]
    desk.stack.revive("live-gateway")
    desk.gateway.close()
    desk.gateway = desk.stack.client("live-gateway")
    shown = desk.gateway.get(f"/venues/{venue}/orders").json()["orders"]
    (mine,) = [order for order in shown if order["order_id"] == desk.order_id]
    assert (mine["leaves_quantity"], mine["display_quantity"], mine["displayed_quantity"]) == (0.4, 0.2, 0.2)
    assert desk.replace(quantity="0.25") in (200, 202)
    desk.until(lambda order: order["quantity"] == 0.25 and order["leaves_quantity"] == 0.15)
    shown = desk.gateway.get(f"/venues/{venue}/orders").json()["orders"]
    assert [order["displayed_quantity"] for order in shown if order["order_id"] == desk.order_id] == [0.15]


def test_orders_that_may_not_take_or_wait(desk: Desk) -> None:
    desk.submit(price="60000", post_only=True)
    assert desk.is_("rejected")["reason"] == "post_only"
    desk.submit(time_in_force="ioc")
    assert desk.is_("cancelled")["reason"] == "ioc"
    desk.submit(time_in_force="fok")
    assert desk.is_("cancelled")["reason"] == "fok"
    desk.works(time_in_force="day")
    assert desk.order["expire_at"] is None


def test_a_replace_and_a_halt_outlive_kill_9_of_exeq_and_the_gateway(desk: Desk) -> None:
    # FAILURES 36
    desk.works()
    desk.trades("0.1")
    desk.until(lambda order: order["cum_quantity"] == 0.1)
    assert desk.replace(price="40100") == 202
    desk.until(lambda order: order["price"] == 40100)
    desk.everywhere("halt", symbol="SOLUSDT")
    desk.stack.revive("exeq", "live-gateway")
    desk.gateway.close()
    desk.gateway = desk.stack.client("live-gateway")
    halted = desk.gateway.get("/venues").json()["venues"]
    assert [venue["halted"] for venue in halted] == [["SOLUSDT"], ["SOLUSDT"]]
    desk.trades("0.4", price="40100")
    assert desk.is_("filled")["fees"] > 0
    assert desk.heard == ["A/A", "0/0", "F/1", "E/E", "5/1", "F/2"]
    stats = desk.gateway.get("/stats").json()["venues"]
    assert max(venue["sends_per_route_max"] for venue in stats.values()) == 1
    desk.everywhere("resume", symbol="SOLUSDT")
