"""Random histories of several orders, as the real actor makes them, for every fold of a journal."""

import msgspec
from hypothesis import strategies as st

from domain.order import commands as c
from domain.order import events as e
from tests.domain.order.test_properties import lives
from tests.table import Scene

Commits = list[tuple[e.OrderEvent, ...]]


def _lived(life: tuple[c.SubmitOrder, list[c.OrderCommand]], number: int) -> Commits:
    """What each command came to. The order has a name of its own, its reports are numbered among the others' later."""
    scene = Scene()
    for command in (life[0], *life[1]):
        scene.do(command)
    return [tuple(msgspec.structs.replace(event, order_id=f"O{number}") for event in events) for events in scene.history if events]


@st.composite
def histories(draw: st.DrawFn) -> Commits:
    """One commit for each command that had an effect, orders mixed; now and then two commands share a commit."""
    waiting = [_lived(life, number) for number, life in enumerate(draw(st.lists(lives, min_size=1, max_size=6)))]
    commits: Commits = []
    while waiting:
        of = waiting[draw(st.integers(0, len(waiting) - 1))]
        commits.append(of.pop(0))
        if len(commits) > 1 and draw(st.booleans()):
            last = commits.pop()
            commits[-1] += last
        waiting = [life for life in waiting if life]
    return commits
