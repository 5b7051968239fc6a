"""The owner of a shard, and its epoch."""

import pytest

from domain.execution.owner import EPOCH_MAX, NO_OWNER, Owner, named, owner_after, owner_of
from domain.order.events import ShardHeld, ShardReleased, ShardTaken


def taken(met: int = 0) -> ShardTaken:
    return ShardTaken(at=1, unit="unit-0", sender="exeq-1", before=3, met=met)


@pytest.mark.parametrize(("met", "epoch"), [(0, 812), (811, 812), (812, 813), (5000, 5001)])
def test_the_epoch_is_the_commits_number_and_above_all_that_a_venue_has_met(met: int, epoch: int) -> None:
    owner = owner_of(taken(met), 812)
    assert (owner.unit, owner.sender, owner.epoch) == ("unit-0", "exeq-1", epoch)


def test_the_epoch_is_above_the_one_that_it_ends_where_commits_are_numbered_from_lower_again() -> None:
    assert owner_of(ShardTaken(at=1, unit="unit-1", sender="oms-7", before=900, lease=3), 812).epoch == 901


def test_a_released_shard_has_no_owner_and_keeps_its_epoch() -> None:
    owner = owner_after(NO_OWNER, ShardTaken(at=1, unit="unit-1", sender="oms-7", lease=3), 12)
    assert owner_after(owner, ShardHeld(at=1, unit="unit-1"), 13) == owner == Owner("unit-1", "oms-7", 12)
    assert owner_after(owner, ShardReleased(at=1, unit="unit-1", to="unit-2"), 14) == Owner(epoch=12)


@pytest.mark.parametrize(
    ("unit", "epoch", "fine"),
    [
        ("", 0, True),
        ("unit-0", 1, True),
        ("unit-0", EPOCH_MAX, False),
        ("unit-0", -1, False),
        ("unit 0", 1, False),
        ("u" * 33, 1, False),
        ("u.>", 1, False),
    ],
)
def test_a_name_and_an_epoch_are_bounded(unit: str, epoch: int, fine: bool) -> None:
    assert named(unit, epoch) is fine
