"""Who is routed next."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.execution.queue import PriorityQueue
from domain.order.events import OrderSubmitted
from tests.domain.execution.test_routing import order


def named(name: str, priority: int = 0) -> OrderSubmitted:
    return msgspec.structs.replace(order(), order_id=name, priority=priority)


def queued(*orders: tuple[str, int, int]) -> PriorityQueue:
    """Orders as (name, priority, time)."""
    queue = PriorityQueue()
    for name, priority, at in orders:
        queue.put(named(name, priority), at)
    return queue


def drained(queue: PriorityQueue) -> list[str]:
    names = []
    while taken := queue.take():
        names.append(taken.order_id)
    return names


def test_higher_priority_goes_first_then_who_came_first() -> None:
    assert drained(queued(("a", 0, 1), ("b", 5, 3), ("c", 5, 2), ("d", 9, 4))) == ["d", "c", "b", "a"]


def test_at_the_same_moment_the_one_put_first_goes_first() -> None:
    assert drained(queued(("b", 0, 1), ("a", 0, 1), ("c", 0, 1))) == ["b", "a", "c"]


def test_an_empty_queue_gives_nothing() -> None:
    queue = PriorityQueue()
    assert queue.take() is None
    assert queue.oldest() is None
    assert len(queue) == 0


def test_what_was_discarded_is_not_given() -> None:
    queue = queued(("a", 0, 1), ("b", 0, 2))
    queue.discard("a")
    queue.discard("unknown")
    assert "a" not in queue
    assert (len(queue), queue.oldest()) == (1, 2)
    assert drained(queue) == ["b"]


def test_putting_it_twice_is_putting_it_once() -> None:
    queue = queued(("a", 0, 1), ("a", 9, 0))
    assert (len(queue), queue.oldest()) == (1, 1)
    assert drained(queue) == ["a"]


def test_what_was_discarded_may_come_again_and_is_given_once() -> None:
    """Its first place is still in the heap."""
    queue = queued(("a", 0, 1))
    queue.discard("a")
    queue.put(named("a"), 5)
    queue.put(named("b"), 3)
    assert len(queue) == 2
    assert sorted(drained(queue)) == ["a", "b"]


def test_one_whose_terms_changed_keeps_its_place_among_those_of_the_same_moment() -> None:
    queue = queued(("a", 0, 1), ("b", 0, 1))
    other = msgspec.structs.replace(named("a"), quantity=Decimal(7))
    queue.change(other)
    queue.change(named("c"))
    assert (queue.take(), drained(queue)) == (other, ["b"])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=40))
def test_the_queue_sorts_by_priority_then_time_then_sequence(entries: list[tuple[int, int]]) -> None:
    queue = queued(*((f"o-{number}", priority, at) for number, (priority, at) in enumerate(entries)))
    wanted = sorted(range(len(entries)), key=lambda number: (-entries[number][0], entries[number][1], number))
    assert drained(queue) == [f"o-{number}" for number in wanted]


class AgainstASortedList(RuleBasedStateMachine):
    """Each name is used for one life: put, then taken or discarded."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = PriorityQueue()
        self.model: dict[str, tuple[int, int, int]] = {}
        self.count = 0

    @rule(priority=st.integers(0, 3), at=st.integers(0, 5))
    def put(self, priority: int, at: int) -> None:
        self.count += 1
        self.queue.put(named(f"o-{self.count}", priority), at)
        self.model[f"o-{self.count}"] = (-priority, at, self.count)

    @rule(number=st.integers(1, 30))
    def discard(self, number: int) -> None:
        self.queue.discard(f"o-{number}")
        self.model.pop(f"o-{number}", None)

    @rule()
    def take(self) -> None:
        taken = self.queue.take()
        wanted = min(self.model, key=self.model.__getitem__, default=None)
        assert (taken.order_id if taken else None) == wanted
        self.model.pop(wanted or "", None)

    @invariant()
    def the_same_are_waiting(self) -> None:
        assert len(self.queue) == len(self.model)
        assert all(name in self.queue for name in self.model)
        assert self.queue.oldest() == min((at for _, at, _ in self.model.values()), default=None)


TestAgainstASortedList = AgainstASortedList.TestCase
