"""What a counterparty would hear of a list in FIX: CONTINGENT.md 6."""

import pytest

from domain.order.fix import contingency_type, list_order_status, list_status_type
from domain.order.group import OrderGroup, group_after
from tests.domain.groups.scene import ListScene, bracket, check
from tests.domain.groups.test_oco_and_oto import oco


def heard(scene: ListScene) -> list[str]:
    """429/431 of every event of the list."""
    group: OrderGroup | None = None
    words = []
    for event in (event for commit in scene.commits for event in commit):
        if (status_type := list_status_type(event)) is not None:
            group = group_after(group, event)  # type: ignore[arg-type]  # events with a ListStatusType are those of lists
            words.append(f"{status_type}/{list_order_status(group)}")
    return words


SCENES = {
    "all done": (bracket(), "rest entry\nfill entry 10\nrest take_profit\nfill take_profit 10", ["1/3", "5/6"]),
    "cancelled": (bracket(), "rest entry\ncancel_list\ncancelled entry", ["1/3", "2/4", "5/6"]),
    "an exit is followed by another one": (
        bracket(),
        "rest entry\nfill entry 3\nrest take_profit\nfill take_profit 3\nfill entry 2",
        ["1/3", "2/3", "2/3"],
    ),
    "both exits trade": (
        bracket(strict=False),
        "rest entry\nfill entry 10\nrest take_profit\nrest stop_loss\nfill take_profit 10\nfill stop_loss 10",
        ["1/3", "6/5", "5/5"],
    ),
    "rejected": (bracket(rejected=True), "", ["1/7"]),
}


@pytest.mark.parametrize("name", SCENES)
def test_a_list_is_reported_in_the_words_of_list_status(name: str) -> None:
    scene, lines, expected = SCENES[name]
    assert heard(check(scene, lines)) == expected


def test_the_contingency_is_oco_ouo_or_oto() -> None:
    made = (oco(reduce=False), oco(reduce=True), bracket())
    assert [contingency_type(scene.group) for scene in made] == ["1", "3", "2"]
