"""The picture of svg.py as JSON, for pages that draw it themselves: the same boxes, lines, labels and counts, without a style."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from apps.diagram.layout import BOXES, FRAMES, HEIGHT, LINES, WIDTH, Box, Counts, Drawn
from apps.diagram.svg import KINDS, LINE_HEIGHT, NOTES, TITLE, not_laid_out, start_of, stays_of, steps_of
from domain.order.lifecycle import CLOSED, State

View = dict[str, Any]
START: Final = "submit"


def geometry(steps: tuple[Drawn, ...], counts: Counts | None) -> str:
    """Return the picture as JSON. Every `count` is null without counts.

    A line stands for the step of each of its triggers from each of its states. Its label is its triggers, one a text line: the last one at
    the label's x and y, each other one `line_height` above the next.
    """
    view = {
        "title": TITLE,
        "width": WIDTH,
        "height": HEIGHT,
        "line_height": LINE_HEIGHT,
        "states": [{"state": state, "closed": state in CLOSED, "count": _in_state(state, counts)} for state in BOXES],
        "steps": [_step(d, counts) for d in steps],
        "boxes": [{"state": state, **_corners(box), "stays": stays_of(state, steps)} for state, box in BOXES.items()],
        "frames": [{"label": label, **_corners(box)} for label, box in FRAMES],
        "start": {"trigger": START, "to": State.NEW, "points": start_of(BOXES[State.NEW])},
        "lines": list(_lines(steps, counts)),
        "kinds": KINDS,
        "notes": NOTES,
        "not_laid_out": [_step(d, counts) for d in not_laid_out(steps)],
    }
    return msgspec.json.encode(view).decode()


def _corners(box: Box) -> View:
    return {"x": box.x, "y": box.y, "w": box.width, "h": box.height}


def _in_state(state: State, counts: Counts | None) -> int | None:
    return None if counts is None else counts.states.get(state, 0)


def _step(step: Drawn, counts: Counts | None) -> View:
    taken = None if counts is None else counts.steps.get((step.source, step.trigger), 0)
    return {"trigger": step.trigger, "from": step.source, "to": step.target, "count": taken}


def _lines(steps: Iterable[Drawn], counts: Counts | None) -> Iterator[View]:
    for line in LINES:
        if drawn := steps_of(line, steps):
            yield {
                "kind": line.kind,
                "from": line.sources,
                "triggers": line.triggers,
                "to": line.target,
                "points": line.points,
                "label": {"x": line.at[0], "y": line.at[1], "anchor": line.anchor},
                "badge": {"x": line.badge[0], "y": line.badge[1]},
                "count": None if counts is None else sum(counts.steps.get((d.source, d.trigger), 0) for d in drawn),
            }
