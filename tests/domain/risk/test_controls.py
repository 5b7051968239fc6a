"""What is forbidden and bounded: a fold of what people decided."""

from decimal import Decimal

import pytest

from adapters.codec import CommitCodec
from domain.four_eyes import SECOND_STEP_MAX_NS
from domain.risk.controls import (
    BLOCKED,
    HISTORY_KEPT_MAX,
    KILLED,
    PROPOSALS_MAX,
    Armed,
    ArmRequested,
    ControlEvent,
    Controls,
    ControlsAccepted,
    KillThrown,
    LimitsChanged,
    LimitSet,
    LimitsProposed,
    SymbolBlocked,
    SymbolUnblocked,
)
from domain.risk.limits import Limits
from domain.risk.overrides import Overrides, raised_above

SAID = {"at": 1, "who": "desk-1", "reason": "a scene"}


def told(*events: ControlEvent) -> Controls:
    controls = Controls()
    for event in events:
        controls.apply(event)
    return controls


def thrown(scope: str, version: int = 2) -> KillThrown:
    return KillThrown(version=version, scope=scope, **SAID)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scope", "forbidden"),
    [
        ("all", {("alice", "BTC", "A"), ("alice", "ETH", "B"), ("bob", "BTC", "A"), ("bob", "BTC", None)}),
        ("account:alice", {("alice", "BTC", "A"), ("alice", "ETH", "B")}),
        ("symbol:BTC", {("alice", "BTC", "A"), ("bob", "BTC", "A"), ("bob", "BTC", None)}),
        ("venue:A", {("alice", "BTC", "A"), ("bob", "BTC", "A")}),
        ("account:BTC", set()),
    ],
)
def test_a_switch_stops_its_scope_and_nothing_else(scope: str, forbidden: set[tuple[str, str, str | None]]) -> None:
    controls = told(thrown(scope))
    orders = [("alice", "BTC", "A"), ("alice", "ETH", "B"), ("bob", "BTC", "A"), ("bob", "BTC", None)]
    assert {order for order in orders if controls.forbids(*order) == KILLED} == forbidden


def test_a_switch_stays_thrown_until_it_is_armed_itself() -> None:
    controls = told(thrown("all"), thrown("account:alice", 3))
    controls.apply(Armed(version=4, scope="all", token="t", **SAID))  # type: ignore[arg-type]
    assert (controls.killed("alice", "BTC"), controls.killed("bob", "BTC")) == (True, False)


def test_thrown_again_it_is_not_armed_by_what_was_asked_for_before() -> None:
    controls = told(thrown("all"), ArmRequested(version=3, scope="all", token="t", **SAID))  # type: ignore[arg-type]
    assert list(controls.arming) == ["all"]
    controls.apply(thrown("all", 4))
    assert not controls.arming


def test_a_block_and_a_switch_have_their_own_reasons_and_that_of_the_switch_comes_first() -> None:
    controls = told(SymbolBlocked(version=2, symbol="BTC", **SAID))  # type: ignore[arg-type]
    assert (controls.forbids("alice", "BTC"), controls.forbids("alice", "ETH")) == (BLOCKED, None)
    controls.apply(thrown("all", 3))
    assert controls.forbids("alice", "BTC") == KILLED
    controls.apply(SymbolUnblocked(version=4, symbol="BTC", **SAID))  # type: ignore[arg-type]
    controls.apply(Armed(version=5, scope="all", token="t", **SAID))  # type: ignore[arg-type]
    assert controls.forbids("alice", "BTC") is None


def changed(version: int, account: str, symbol: str = "", **new: object) -> LimitsChanged:
    return LimitsChanged(version=version, account=account, symbol=symbol, new=LimitSet(**new), **SAID)  # type: ignore[arg-type]


def test_limits_of_an_account_lie_over_the_configuration_and_those_of_a_symbol_over_both() -> None:
    controls = told(
        changed(2, "alice", order_notional_max=Decimal(500), short_allowed=True),
        changed(3, "alice", "BTC", order_notional_max=Decimal(50)),
        changed(4, "bob", concentration_max=Decimal("0.5")),
    )
    of = Overrides(Limits(short_accounts=frozenset({"bob"})), controls).of
    assert [of(a, s).order_notional_max for a, s in (("alice", ""), ("alice", "ETH"), ("alice", "BTC"), ("bob", "BTC"))] == [
        500,
        500,
        50,
        100_000,
    ]
    assert [of(a, s).version for a, s in (("alice", "ETH"), ("alice", "BTC"), ("bob", "BTC"), ("carol", "BTC"))] == [2, 3, 4, 1]
    assert of("alice", "BTC").short_accounts == {"alice", "bob"}
    assert of("bob").concentration_max == Decimal("0.5")
    controls.apply(changed(5, "alice", short_allowed=False))
    assert of("alice", "ETH").order_notional_max == 100_000, "a new set stands in place of the old one"
    assert (of("alice", "BTC").order_notional_max, of("alice", "BTC").version) == (Decimal(50), 5)
    assert of("alice").short_accounts == {"bob"}


def proposed(version: int, account: str, symbol: str = "", at: int = 1) -> LimitsProposed:
    new = LimitSet(order_notional_max=Decimal(10**6))
    return LimitsProposed(
        version=version, at=at, who="desk-1", reason="x", account=account, symbol=symbol, token=f"t{version}", limits_version=1, new=new
    )


def waiting(controls: Controls, now_ns: int = 1) -> list[str]:
    return [each.token for each in controls.pending(now_ns)]


def test_a_proposal_is_not_in_force_and_does_not_count_as_a_change_of_limits() -> None:
    controls = told(proposed(2, "alice"))
    assert (controls.version, controls.limits_version, Overrides(Limits(), controls).of("alice")) == (2, 1, Limits())


def test_a_proposal_waits_until_its_limits_change_or_its_time_is_over() -> None:
    controls = told(proposed(2, "alice"), proposed(3, "alice", "BTC"), proposed(4, "bob"), proposed(5, "alice"))
    assert waiting(controls) == ["t3", "t4", "t5"], "a newer proposal replaces the one before"
    controls.apply(changed(6, "alice", "ETH"))
    controls.apply(changed(7, "bob", "ETH"))
    assert waiting(controls) == ["t3", "t4", "t5"]
    controls.apply(changed(8, "alice", "BTC"))
    assert waiting(controls) == ["t4", "t5"]
    controls.apply(proposed(9, "alice", "BTC"))
    controls.apply(changed(10, "alice"))
    assert waiting(controls) == ["t4"], "the limits of a symbol rest on those of the account"
    end = 1 + SECOND_STEP_MAX_NS
    assert (waiting(controls, end), waiting(controls, end + 1)) == (["t4"], [])


def test_proposals_have_a_bound_and_end_with_a_loss() -> None:
    controls = told(*(proposed(version, f"a{version}") for version in range(2, PROPOSALS_MAX + 4)))
    assert (len(controls.proposals), next(iter(controls.proposals))) == (PROPOSALS_MAX, ("a4", ""))
    controls.apply(proposed(5000, "late", at=2 + SECOND_STEP_MAX_NS))
    assert list(controls.proposals) == [("late", "")], "what has expired takes no memory"
    lost = ControlsAccepted(version=5001, goes_on_from=1, acknowledged_to=9, **SAID)  # type: ignore[arg-type]
    controls.apply(lost)
    assert not controls.proposals


@pytest.mark.parametrize(
    ("before", "after", "above"),
    [(5, 11, True), (5, 10, False), (11, 11, False), (12, 11, False), (11, 12, True), (0, 10, False)],
)
@pytest.mark.parametrize("name", ["order_notional_max", "position_notional_max", "var_max"])
def test_a_limit_is_raised_above_a_size_if_it_grows_and_is_more_than_that(name: str, before: int, after: int, above: bool) -> None:
    small = {"order_notional_max": Decimal(1), "position_notional_max": Decimal(1), "var_max": Decimal(1)}
    one, other = (Limits(**(small | {name: Decimal(value)})) for value in (before, after))  # type: ignore[arg-type]
    assert raised_above(one, other, Decimal(10)) == above


def test_a_change_of_limits_from_before_proposals_is_read_and_written_as_it_was() -> None:
    codec = CommitCodec[ControlEvent](ControlEvent)
    event = b'{"type":"LimitsChanged","version":5,"at":1,"who":"desk-1","reason":"x","account":"alice","new":{"var_max":5}}'
    payload = b'{"v":1,"shard":0,"n":1,"events":[' + event + b"]}"
    assert codec.encode(0, 1, codec.decode(payload).events) == payload


def test_every_control_is_read_back_as_it_was_written() -> None:
    codec = CommitCodec[ControlEvent](ControlEvent)
    events: tuple[ControlEvent, ...] = (
        thrown("venue:A"),
        ArmRequested(version=3, scope="venue:A", token="t", **SAID),  # type: ignore[arg-type]
        Armed(version=4, scope="venue:A", token="t", **SAID),  # type: ignore[arg-type]
        changed(5, "alice", "BTC", order_notional_max=Decimal("0.000000000001"), concentration_max=Decimal("0.25")),
        changed(6, "alice", short_allowed=False),
        SymbolBlocked(version=7, symbol="BTC/USD", **SAID),  # type: ignore[arg-type]
        proposed(8, "alice", "BTC"),
        LimitsChanged(version=9, account="alice", symbol="BTC", token="t8", **SAID),  # type: ignore[arg-type]
    )
    assert codec.decode(codec.encode(0, 1, events)).events == events


def test_what_is_kept_for_readers_has_a_bound() -> None:
    controls = told(*(thrown("all", version) for version in range(2, HISTORY_KEPT_MAX + 12)))
    assert (len(controls.history), controls.history[-1].version) == (HISTORY_KEPT_MAX, HISTORY_KEPT_MAX + 11)
