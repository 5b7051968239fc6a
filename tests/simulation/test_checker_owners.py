"""What the checker sees of a shard's owners: one at a time, and each only from its own ShardTaken on."""

from collections.abc import Sequence

import pytest

from domain.audit.owner_audit import OwnerAudit
from domain.order import events as e
from domain.order.lifecycle import State
from tests.simulation.test_checker import audited, life, names


def taken(unit: str, before: int, *, lease: int = 1, met: int = 0) -> e.ShardTaken:
    return e.ShardTaken(at=1, unit=unit, sender=f"oms-of-{unit}", before=before, lease=lease, met=met)


def routed(unit: str, epoch: int) -> e.OrderRouted:
    return e.OrderRouted(order_id="1", at=1, status=State.ROUTED, legs=(), policy="best", unit=unit, epoch=epoch)


def held(unit: str) -> e.ShardHeld:
    return e.ShardHeld(at=1, unit=unit)


def released(unit: str, to: str = "") -> e.ShardReleased:
    return e.ShardReleased(at=1, unit=unit, to=to)


ACCEPTED = e.JournalAccepted(at=1, who="ann", reason="a copy", goes_on_from=1, acknowledged_to=3)


def found(commits: Sequence[e.OrderEvent]) -> list[str]:
    audit = OwnerAudit()
    return [what for n, event in enumerate(commits, 1) for what in audit.take(n, [event])]


@pytest.mark.parametrize(
    "commits",
    [
        [routed("", 0), held("unit-a"), taken("unit-a", 0), routed("unit-a", 3), held("unit-a")],
        [taken("unit-a", 0), taken("unit-a", 1, lease=0), routed("unit-a", 2), taken("unit-b", 2), held("unit-b")],
        [taken("unit-a", 0), released("unit-a", "unit-b"), taken("unit-b", 1), held("unit-b")],
        [taken("unit-a", 0), released("unit-a"), ACCEPTED, taken("unit-b", 1)],
        [taken("unit-a", 0, met=70), taken("unit-b", 71), routed("unit-b", 72)],
    ],
    ids=["a journal from before it", "another unit takes it", "it is handed over", "a loss was accepted", "a venue had met a later epoch"],
)
def test_a_lawful_history_of_owners_breaks_nothing(commits: Sequence[e.OrderEvent]) -> None:
    assert found(commits) == []


@pytest.mark.parametrize(
    ("commits", "what"),
    [
        ([taken("unit-a", 0), taken("unit-b", 1), held("unit-a")], "ShardHeld of unit-a in commit 3, and unit-b owns the shard at epoch 2"),
        (
            [taken("unit-a", 0), taken("unit-b", 1), routed("unit-b", 1)],
            "OrderRouted of epoch 1 in commit 3, and the shard has epoch 2",
        ),
        ([taken("unit-a", 0), taken("unit-b", 0)], "unit-b took the shard in commit 2 from epoch 0, and it had epoch 1"),
        ([taken("unit-a", 0), taken("unit-b", 1, lease=0)], "unit-b took the shard from unit-a in commit 2 without a lease"),
        ([taken("unit-a", 0), released("unit-b")], "ShardReleased of unit-b in commit 2, and unit-a owns the shard at epoch 1"),
        ([taken("unit-a", 0), released("unit-a"), routed("", 0)], "OrderRouted in commit 3, after the shard was released at epoch 1"),
    ],
)
def test_a_second_owner_is_seen(commits: Sequence[e.OrderEvent], what: str) -> None:
    assert found(commits) == [what]


def test_the_checker_of_a_journal_names_it() -> None:
    lawful = [*life(), taken("unit-a", 0), held("unit-a"), taken("unit-b", 5)]
    assert names(audited(lawful).violations) == set()
    assert names(audited([*lawful, held("unit-a")]).violations) == {"one_owner"}


def test_an_epoch_that_does_not_grow_is_seen() -> None:
    audit = OwnerAudit()
    assert list(audit.take(9, [taken("unit-a", 0, met=70)])) == []
    assert list(audit.take(5, [taken("unit-b", 0)])) == [
        "unit-b took the shard in commit 5 from epoch 0, and it had epoch 71",
        "unit-b took the shard in commit 5 at epoch 5, and it had epoch 71",
    ]
