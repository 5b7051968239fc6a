"""Who owns a shard: the table of duties in words, and what holds however renewals, commits and answers come."""

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ownership import BACK_NS, FIRST_NS, LEASE_NS, TRUST_NS, UNITS_MAX, Duty, Phase, ShardOwnership, UnitsSeen, ranked

S: Final = 1_000_000_000
SHARD: Final = 3
FIRST, SECOND, THIRD = ranked(SHARD, ["unit-a", "unit-b", "unit-c"])
START: Final = 7_000 * S
"""The monotonic clock has any origin."""


class Scene:
    """One unit's view of one shard. Steps are texts: the time in seconds, then what happens.

    `beat [unit ...]`: heartbeats of this unit and of others. `beats SECONDS [unit ...]`: one a second until then. `deaf`: the watch ended.
    """

    def __init__(self, unit: str) -> None:
        self.units = UnitsSeen(unit)
        self.unit = unit
        self.now = START
        self.mine = ShardOwnership(SHARD, self.units, START)
        self.answer = False

    def play(self, steps: Sequence[str]) -> None:
        for step in steps:
            at, what, *rest = step.split()
            self.now = START + round(float(at) * S)
            getattr(self, what)(*rest)

    def beat(self, *others: str) -> None:
        for unit in (self.unit, *others):
            able = (SHARD,) if unit != self.unit or self.mine.able(self.now) else ()
            self.units.heartbeat(unit.removesuffix("!"), () if unit.endswith("!") else able, self.now)

    def beats(self, until: str, *others: str) -> None:
        while self.now <= START + float(until) * S:
            self.beat(*others)
            self.now += S

    def deaf(self) -> None:
        self.units.away()

    def lease(self, unit: str, revision: str, epoch: str = "5") -> None:
        self.mine.lease("" if unit == "none" else unit, int(epoch), int(revision), self.now)

    def commit(self, n: str) -> None:
        self.mine.commit(int(n), self.now)

    def taken(self, epoch: str) -> None:
        self.mine.taken(int(epoch), int(epoch), self.now, mine=False)

    def released(self, n: str, to: str = "") -> None:
        self.mine.released(to, int(n), self.now)

    def take(self, revision: str) -> None:
        self.answer = self.mine.taking(int(revision))

    def ends(self, n: str) -> None:
        self.answer = self.mine.ends(int(n), self.now)

    def refused(self) -> None:
        self.mine.refused(self.now)

    def silent(self) -> None:
        self.mine.given_up()

    def own(self, epoch: str, sent: str | None = None) -> None:
        self.mine.taking(1)
        self.mine.opened(int(epoch), int(epoch), self.sent(sent), self.now)

    def renewed(self, revision: str, sent: str | None = None) -> None:
        self.mine.renewed(int(revision), self.sent(sent), self.now)

    def appended(self, n: str, sent: str | None = None) -> None:
        self.mine.appended(int(n), self.sent(sent), self.now)

    def move(self, to: str = "") -> None:
        self.mine.release(to)

    def down(self) -> None:
        self.mine.stepped_down(self.now)

    def look(self) -> None:
        """Only the time passes."""

    def sent(self, at: str | None) -> int:
        return self.now if at is None else START + round(float(at) * S)


OWNED: Final = ["0 taken 5", "0 lease other 10"]
"""Another unit took the shard at epoch 5 and has the lease."""


@pytest.mark.parametrize(
    ("words", "unit", "steps", "duty"),
    [
        # The silence
        ("three seconds without a renewal or a commit: take", FIRST, [*OWNED, "0 beats 3", "3 look"], Duty.TAKE),
        ("less than three seconds: wait", FIRST, [*OWNED, "0 beats 2", "2.99 look"], Duty.WAIT),
        ("a renewal is life", FIRST, [*OWNED, "0 beats 1", "1.5 lease other 11", "2 beats 4", "4.4 look"], Duty.WAIT),
        ("three seconds after the renewal: take", FIRST, [*OWNED, "0 beats 1", "1.5 lease other 11", "2 beats 4", "4.5 look"], Duty.TAKE),
        ("a commit is life", FIRST, [*OWNED, "0 beats 1", "1.5 commit 6", "2 beats 4", "4.4 look"], Duty.WAIT),
        ("the same renewal again is none", FIRST, [*OWNED, "0 beats 1", "1.5 lease other 10", "2 beats 3", "3 look"], Duty.TAKE),
        ("an old commit again is none", FIRST, [*OWNED, "0 beats 1", "1.5 commit 5", "2 beats 3", "3 look"], Duty.TAKE),
        # The answers of the store
        ("a store that never answered: wait", FIRST, [*OWNED, "9 look"], Duty.WAIT),
        ("a gap in the store's answers is no silence", FIRST, [*OWNED, "0 beats 2", "4 beats 6", "6.9 look"], Duty.WAIT),
        ("three seconds of answers after the gap: take", FIRST, [*OWNED, "0 beats 2", "4 beats 7", "7 look"], Duty.TAKE),
        ("heartbeats 1.2 s apart are no gap", FIRST, [*OWNED, "0 beat", "1.2 beat", "2.4 beat", "3 look"], Duty.TAKE),
        ("heartbeats 1.21 s apart are one", FIRST, [*OWNED, "0 beat", "1.21 beat", "2.4 beat", "3.5 look"], Duty.WAIT),
        ("the store answered until 1.3 s ago", FIRST, [*OWNED, "0 beats 3", "4.3 look"], Duty.WAIT),
        ("the watch ended and was made again", FIRST, [*OWNED, "0 beats 2", "2.1 deaf", "2.2 beats 4", "4.5 look"], Duty.WAIT),
        ("heartbeats of others alone are no answer", FIRST, [*OWNED, "0 beat", "1 look", "9 look"], Duty.WAIT),
        # The ranks
        ("the second of two waits half a second longer", SECOND, [*OWNED, f"0 beats 3 {FIRST}", "3.49 look"], Duty.WAIT),
        ("and then takes", SECOND, [*OWNED, f"0 beats 3 {FIRST}", "3.5 look"], Duty.TAKE),
        ("the third waits a second longer", THIRD, [*OWNED, f"0 beats 3 {FIRST} {SECOND}", "3.99 look"], Duty.WAIT),
        ("the third takes then", THIRD, [*OWNED, f"0 beats 4 {FIRST} {SECOND}", "4 look"], Duty.TAKE),
        ("a unit that is gone has no rank", SECOND, [*OWNED, f"0 beat {FIRST}", "1 beats 4", "4 look"], Duty.TAKE),
        ("a unit that may not take it has no rank", SECOND, [*OWNED, f"0 beats 3 {FIRST}!", "3 look"], Duty.TAKE),
        # A shard that was lost
        (
            "a lost shard is not taken back while another unit can take it",
            FIRST,
            [*OWNED, "0 own 6", "1 down", f"1 beats 60 {SECOND}", "60 look"],
            Duty.WAIT,
        ),
        ("after a minute it is", FIRST, [*OWNED, "0 own 6", "1 down", f"1 beats 61 {SECOND}", "61 beat", "61 look"], Duty.TAKE),
        ("at once if no other unit can", FIRST, [*OWNED, "0 own 6", "1 down", f"1 beats 4 {SECOND}!", "4 look"], Duty.TAKE),
        # The first owner
        ("a shard that never had an owner is taken by the first at once", FIRST, [f"0 beat {SECOND}", "0.1 look"], Duty.TAKE),
        ("not before the store answers", FIRST, ["0 look"], Duty.WAIT),
        ("the second leaves it to the first for 30 s", SECOND, [f"0 beats 29 {FIRST}", "29.9 look"], Duty.WAIT),
        ("and then takes it", SECOND, [f"0 beats 30 {FIRST}", "30 look"], Duty.TAKE),
        ("the second takes it at once where the first is not alive", SECOND, ["0 beat", "0.1 look"], Duty.TAKE),
        ("a unit that is taking it is waited for", FIRST, ["0 beat", "0 lease other 1 0", "1 beat", "1 look"], Duty.WAIT),
        # Moves and stops
        ("the heir of a planned move takes without a silence", THIRD, [*OWNED, f"1 released 9 {THIRD}", "1 look"], Duty.TAKE),
        ("others leave it to the heir", FIRST, [*OWNED, f"0 beats 2 {THIRD}", f"2 released 9 {THIRD}", "2.5 look"], Duty.WAIT),
        ("for three seconds", FIRST, [*OWNED, f"0 beats 5 {THIRD}", f"2 released 9 {THIRD}", "5 beat", "5 look"], Duty.TAKE),
        ("a stop without an heir needs no silence", FIRST, [*OWNED, "0 beats 2", "2 released 9", "2 look"], Duty.TAKE),
        ("but has ranks", SECOND, [*OWNED, f"0 beats 2 {FIRST}", "2 released 9", "2.4 look"], Duty.WAIT),
        ("another unit is taking it", SECOND, [*OWNED, "0 beats 2", "2 released 9", "2.1 lease third 12 0", "2.6 look"], Duty.WAIT),
        (
            "a late renewal of the owner takes nothing away",
            FIRST,
            [*OWNED, "0 beat", "1 released 9", "1 lease other 12", "1 look"],
            Duty.TAKE,
        ),
        (
            "a release that is read later than the next owner's lease",
            FIRST,
            [*OWNED, "0 beats 2", "1.9 lease third 12 10", "2 released 9", "2 look"],
            Duty.WAIT,
        ),
        ("also one to this unit", FIRST, [*OWNED, "0 beats 2", "1.9 lease third 12 10", f"2 released 9 {FIRST}", "2 look"], Duty.WAIT),
        ("a commit behind the release ends it", FIRST, [*OWNED, "0 beats 2", "2 released 9", "2 commit 10", "2.1 look"], Duty.WAIT),
        # An attempt
        ("while the journal is read nothing else is done", FIRST, [*OWNED, "0 beats 3", "3 take 11", "3 look"], Duty.WAIT),
        ("a refused attempt begins with the silence again", FIRST, [*OWNED, "0 beats 3", "3 take 11", "3 refused", "4 beat"], Duty.WAIT),
        ("an attempt without an answer is made again", FIRST, [*OWNED, "0 beats 3", "3 take 11", "3.5 silent", "3.5 look"], Duty.TAKE),
        # The owner
        ("an owner holds", FIRST, ["0 own 6", "1 renewed 2", "9 look"], Duty.HOLD),
        ("its own renewal comes back", FIRST, ["0 own 6", f"1 lease {FIRST} 2 6"], Duty.HOLD),
        ("another name in the lease: step down", FIRST, ["0 own 6", "1 lease other 2 0"], Duty.STEP_DOWN),
        ("another process of this unit has the lease: step down", FIRST, ["0 own 6", f"1 lease {FIRST} 2 0"], Duty.STEP_DOWN),
        ("an old lease of another is none", FIRST, ["0 own 6", "0 renewed 3", "1 lease other 2 0"], Duty.HOLD),
        ("a lease that was given back is no other name", FIRST, ["0 own 6", "1 lease none 2"], Duty.HOLD),
        ("a later ShardTaken of another: step down", FIRST, ["0 own 6", "1 taken 9"], Duty.STEP_DOWN),
        ("its own ShardTaken read back: hold", FIRST, ["0 own 6", "1 taken 6"], Duty.HOLD),
        ("a planned move: release", FIRST, ["0 own 6", f"1 move {SECOND}"], Duty.RELEASE),
        ("a planned move after another took it: step down", FIRST, ["0 own 6", f"1 move {SECOND}", "1 taken 9"], Duty.STEP_DOWN),
        ("after stepping down it waits", FIRST, ["0 own 6", "1 taken 9", "1 down", "1 beat"], Duty.WAIT),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_the_duty_of_a_unit(words: str, unit: str, steps: Sequence[str], duty: Duty) -> None:
    scene = Scene(unit)
    scene.play(steps)
    assert scene.mine.duty(scene.now) is duty, words


@pytest.mark.parametrize(
    ("words", "steps", "trusted"),
    [
        ("after its ShardTaken an owner trusts its memory", ["0 own 6", "2.49 look"], True),
        ("for 2.5 s", ["0 own 6", "2.5 look"], False),
        ("counted from the sending", ["1 own 6 0", "2.49 look"], True),
        ("and not from the answer", ["1 own 6 0", "2.5 look"], False),
        ("a renewal prolongs it", ["0 own 6", "1 renewed 2", "3.4 look"], True),
        ("from its sending on", ["0 own 6", "2 renewed 2 1", "3.5 look"], False),
        ("an append prolongs it", ["0 own 6", "1 appended 7", "3.4 look"], True),
        ("a late answer to an old append takes nothing away", ["0 own 6", "1 renewed 2", "1.1 appended 7 0.1", "3.4 look"], True),
        ("another name in the lease ends it at once", ["0 own 6", "0.1 lease other 2 0"], False),
        ("a planned move ends it at once", ["0 own 6", "0.1 move other"], False),
        ("a follower has none", ["0 taken 5", "0 renewed 2"], False),
        ("behind a lease given back by another a renewal proves nothing", ["0 own 6", "1 lease none 5", "2 renewed 6", "3 look"], False),
        (
            "until the journal has proven it",
            ["0 own 6", "1 lease none 5", "2 renewed 6", "2.1 appended 7", "3 renewed 7", "5.4 look"],
            True,
        ),
        (
            "by an append that was sent after that",
            ["0 own 6", "1 lease none 5", "2 renewed 6", "2.1 appended 7 0.9", "3 renewed 7", "4 look"],
            False,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_how_long_an_owner_trusts_its_memory(words: str, steps: Sequence[str], trusted: bool) -> None:
    scene = Scene(FIRST)
    scene.play(steps)
    assert scene.mine.trusted(scene.now) is trusted, words


@pytest.mark.parametrize(
    ("steps", "proves"),
    [
        (["0 own 6", "1.1 look"], False),
        (["0 own 6", "1.2 look"], True),
        (["0 own 6", "1 renewed 2", "2.1 look"], False),
        (["0 own 6", "0.1 lease none 5"], True),
        (["0 own 6", "0.1 lease none 5", "0.2 appended 7"], False),
        (["0 taken 5", "9 look"], False),
    ],
)
def test_an_owner_whose_renewals_prove_nothing_appends_a_proof(steps: Sequence[str], proves: bool) -> None:
    scene = Scene(FIRST)
    scene.play(steps)
    assert scene.mine.must_prove(scene.now) is proves


@pytest.mark.parametrize(("n", "same"), [(5, True), (6, False)])
def test_a_commit_that_was_not_known_before_the_attempt_is_life(n: int, same: bool) -> None:
    scene = Scene(FIRST)
    scene.play([*OWNED, "0 beats 3", "3 take 11", f"3 ends {n}"])
    assert scene.answer is same


def test_an_attempt_ends_where_another_unit_wrote_the_lease_since() -> None:
    scene = Scene(FIRST)
    scene.play([*OWNED, "0 beats 3", "3 lease other 12 0", "3 take 11"])
    assert (scene.answer, scene.mine.phase, scene.mine.holder) == (False, Phase.FOLLOWING, "other")


def test_a_commit_that_comes_during_the_attempt_is_life_too() -> None:
    scene = Scene(FIRST)
    scene.play([*OWNED, "0 beats 3", "3 take 11", "3 commit 6", "3 ends 6"])
    assert scene.answer is False


def test_a_unit_says_that_it_may_take_what_it_owns_and_what_it_did_not_lose_in_the_last_minute() -> None:
    scene = Scene(FIRST)
    assert scene.mine.able(scene.now)
    scene.play(["0 own 6"])
    assert scene.mine.able(scene.now)
    scene.play(["1 down"])
    assert not scene.mine.able(scene.now)
    assert not scene.mine.able(scene.now + BACK_NS - 1)
    assert scene.mine.able(scene.now + BACK_NS)


def test_the_times_are_those_of_the_design() -> None:
    assert (LEASE_NS, TRUST_NS, BACK_NS, FIRST_NS) == (3 * S, 2_500_000_000, 60 * S, 30 * S)


def test_units_that_are_gone_make_room_for_others() -> None:
    units = UnitsSeen("me")
    units.heartbeat("me", [SHARD], 0)
    for number in range(UNITS_MAX):
        units.heartbeat(f"old-{number}", [SHARD], 0)
    assert len(units.heirs(SHARD, 1)) == UNITS_MAX
    units.heartbeat("me", [SHARD], LEASE_NS)
    units.heartbeat("new", [SHARD], LEASE_NS)
    assert set(units.heirs(SHARD, LEASE_NS)) == {"me", "new"}
    units.left("new")
    assert units.heirs(SHARD, LEASE_NS) == ["me"]


names = st.lists(st.text("abcdefgh-0123456789", min_size=1, max_size=6), min_size=1, max_size=8, unique=True)


@given(names, st.integers(0, 63))
def test_a_unit_that_leaves_changes_the_order_of_no_others(units: list[str], shard: int) -> None:
    order = ranked(shard, units)
    assert sorted(order) == sorted(units)
    for gone in units:
        assert ranked(shard, [unit for unit in units if unit != gone]) == [unit for unit in order if unit != gone]


def test_shards_are_spread_over_the_units() -> None:
    firsts = [ranked(shard, ["unit-0", "unit-1", "unit-2"])[0] for shard in range(64)]
    assert min(firsts.count(f"unit-{k}") for k in range(3)) >= 12


@given(st.lists(st.tuples(st.integers(0, 6 * S), st.booleans()), max_size=30))
@settings(max_examples=200)
def test_an_outage_of_the_store_moves_nothing(waits: list[tuple[int, bool]]) -> None:
    """Whatever the pattern of answers: the shard is taken only after the store has answered for three whole seconds without a renewal."""
    scene = Scene(FIRST)
    scene.play(OWNED)
    answered_since: int | None = None
    last = START
    for wait, outage in waits:
        scene.now += wait
        if outage:
            scene.deaf()
            answered_since = None
        else:
            answered_since = scene.now if answered_since is None or scene.now - last > 1_200_000_000 else answered_since
            last = scene.now
            scene.beat()
        if scene.mine.duty(scene.now) is Duty.TAKE:
            assert answered_since is not None
            assert scene.now - answered_since >= LEASE_NS


@given(st.integers(-(10**18), 10**18))
def test_the_origin_of_the_clock_has_no_effect(origin: int) -> None:
    """There is no other time than the unit's own: a wall clock or a server's clock that steps cannot be seen."""
    units = UnitsSeen(FIRST)
    mine = ShardOwnership(SHARD, units, origin)
    mine.taken(5, 5, origin, mine=False)
    for second in range(4):
        units.heartbeat(FIRST, [SHARD], origin + second * S)
        assert mine.duty(origin + second * S) is (Duty.TAKE if second == 3 else Duty.WAIT)
    assert mine.phase is Phase.FOLLOWING
