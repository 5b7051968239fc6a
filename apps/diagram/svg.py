"""The SVG: boxes, frames and arrows of layout.py, for light and dark pages, without a graph layout engine."""

from collections.abc import Iterable, Iterator
from typing import Final

from apps.diagram.layout import BOXES, FRAMES, HEIGHT, LINES, WIDTH, Box, Counts, Drawn, Edge, Kind
from domain.order.lifecycle import CLOSED, State

TITLE: Final = "The life of an order"
LINE_HEIGHT: Final = 15
CORNER: Final = 9
HEAD: Final = 5
DIGIT: Final = 7
KINDS: Final[dict[Kind, str]] = {
    "request": "request: may be refused",
    "service": "decision of risk, exeq or oms",
    "venue": "report of the venue",
    "trade": "trade: booked in every state",
    "bust": "bust: a trade taken back",
}
NOTES: Final = (
    "An arrow that leaves a dashed frame",
    "starts in every state inside it.",
    "↻ stays in its state.",
    "A thick border: the order is closed;",
    "trades and busts still apply.",
)
LIGHT: Final[dict[Kind, str]] = {"request": "#1d4ed8", "service": "#7c3aed", "venue": "#0f766e", "trade": "#15803d", "bust": "#c2410c"}
DARK: Final[dict[Kind, str]] = {"request": "#8ab4ff", "service": "#c4a7ff", "venue": "#5fd4c8", "trade": "#7ddf8f", "bust": "#ffa066"}

STYLE: Final = """
text { font-family: ui-sans-serif, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; font-size: 12px; fill: #0f172a }
.stay, .label { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11.5px } .stay { fill: #475569 }
.label { paint-order: stroke; stroke: #f8fafc; stroke-width: 4px; stroke-linejoin: round }
.page { fill: #f8fafc } .title { font-size: 19px; font-weight: 700 }
.frame { fill: none; stroke: #94a3b8; stroke-dasharray: 3 4 } .hint { fill: #64748b; font-style: italic }
.box { fill: #ffffff; stroke: #334155; stroke-width: 1.6 } .closed { fill: #e2e8f0; stroke-width: 3 }
.name { font-size: 15px; font-weight: 700 } .count { font-size: 11px; font-weight: 700; fill: #ffffff } .state-count { fill: #0f172a }
.line { fill: none; stroke-width: 1.7 } .quiet { opacity: 0.45 }
"""
STYLE_DARK: Final = """
text { fill: #e2e8f0 } .page { fill: #0f172a } .frame { stroke: #64748b } .hint { fill: #94a3b8 } .box { fill: #1e293b; stroke: #cbd5e1 }
.closed { fill: #334155 } .stay { fill: #cbd5e1 } .label { stroke: #0f172a } .count { fill: #0f172a } .state-count { fill: #e2e8f0 }
"""


def svg(steps: tuple[Drawn, ...], counts: Counts | None) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
            f"<title>{TITLE}</title>",
            f"<style>{STYLE}{_colours(LIGHT)}@media (prefers-color-scheme: dark) {{{STYLE_DARK}{_colours(DARK)}}}\n</style>",
            f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="14"/>',
            f'<text class="title" x="20" y="34">{TITLE}</text>',
            *_frames(),
            *(_line(line, steps, counts) for line in LINES),
            *(_start(),),
            *(_box(state, box, steps, counts) for state, box in BOXES.items()),
            *_legend(not_laid_out(steps)),
            "</svg>\n",
        )
    )


def not_laid_out(steps: Iterable[Drawn]) -> list[Drawn]:
    """Return the steps of the machine to another state for which layout.py has no line."""
    laid_out = {Drawn(source, t, line.target) for line in LINES for source in line.sources for t in line.triggers}
    return [d for d in steps if d not in laid_out and d.source is not d.target]


def steps_of(line: Edge, steps: Iterable[Drawn]) -> list[Drawn]:
    """Return the steps of the machine that one line stands for."""
    return [d for d in steps if d.source in line.sources and d.trigger in line.triggers and d.target is line.target]


def stays_of(state: State, steps: Iterable[Drawn]) -> list[str]:
    """Return the triggers of the steps that stay in a state. They are written in its box."""
    return [d.trigger for d in steps if d.source is d.target is state]


def start_of(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the line from the start, a filled circle, to the box of the first state."""
    return (box.x - 34, box.y + 38), (box.x, box.y + 38)


def _colours(colours: dict[Kind, str]) -> str:
    return "\n".join(f".{kind} {{ stroke: {c} }} .{kind}-ink {{ fill: {c} }}" for kind, c in colours.items()) + "\n"


def _frames() -> Iterator[str]:
    for name, (x, y, width, height) in FRAMES:
        yield f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" rx="16"/>'
        yield _text("hint", x + 16, y + 14, name)


def _start() -> str:
    points = start_of(BOXES[State.NEW])
    (x, y), _ = points
    return f'<circle cx="{x}" cy="{y}" r="7" class="request-ink"/>{_arrow("request", points)}'


def _line(line: Edge, steps: Iterable[Drawn], counts: Counts | None) -> str:
    """Draw one arrow with its label, if the machine has its steps. With counts, steps never taken are pale."""
    drawn = steps_of(line, steps)
    if not drawn:
        return ""
    taken = sum(counts.steps.get((d.source, d.trigger), 0) for d in drawn) if counts else 0
    quiet = " quiet" if counts and not taken else ""
    hint = ", ".join(f"{d.source} {d.trigger}" + (f": {counts.steps.get((d.source, d.trigger), 0)}" if counts else "") for d in drawn)
    labels = [
        _text(f"label {line.kind}-ink", line.at[0], line.at[1] - LINE_HEIGHT * n, trigger, line.anchor)
        for n, trigger in enumerate(reversed(line.triggers))
    ]
    badge = _badge(f"{line.kind}-ink", *line.badge, taken) if taken else ""
    return f'<g class="step{quiet}"><title>{hint}</title>{_arrow(line.kind, line.points)}{"".join(labels)}{badge}</g>'


def _arrow(kind: Kind, points: tuple[tuple[int, int], ...]) -> str:
    """Draw a line with round corners and its own head (SVG markers cannot take the colour of their line everywhere)."""
    path = f"M{points[0][0]} {points[0][1]}"
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        path += " L{} {} Q{} {} {} {}".format(*_towards(here, before), *here, *_towards(here, after))
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    head = " ".join(f"{x - 10 * dx + side * dy},{y - 10 * dy + side * dx}" for side in (HEAD, -HEAD))
    return f'<path class="line {kind}" d="{path} L{x - 8 * dx} {y - 8 * dy}"/><polygon class="{kind}-ink" points="{x},{y} {head}"/>'


def _towards(here: tuple[int, int], there: tuple[int, int]) -> tuple[int, int]:
    return tuple(a + max(-CORNER, min(CORNER, b - a)) for a, b in zip(here, there, strict=True))  # type: ignore[return-value]


def _box(state: State, box: Box, steps: Iterable[Drawn], counts: Counts | None) -> str:
    """Draw a state, and the steps that lead from it to itself."""
    stays = stays_of(state, steps)
    middle = box.x + box.width // 2
    top = box.y + box.height // 2 - LINE_HEIGHT * len(stays) // 2 + 5
    lines = [_text("name", middle, top, state, "middle")]
    for n, trigger in enumerate(stays, 1):
        taken = counts.steps.get((state, trigger), 0) if counts else 0
        lines.append(_text("stay", middle, top + 3 + LINE_HEIGHT * n, f"↻ {trigger}" + (f" {taken}" if taken else ""), "middle"))
    number = counts.states.get(state, 0) if counts else 0
    badge = _badge("state-count", box.x + box.width + 6 - _badge_width(number) // 2, box.y + 2, number) if number else ""
    return (
        f'<g class="state"><rect class="box{" closed" if state in CLOSED else ""}" x="{box.x}" y="{box.y}" width="{box.width}" '
        f'height="{box.height}" rx="10"/>{"".join(lines)}{badge}</g>'
    )


def _badge(ink: str, x: int, y: int, number: int) -> str:
    width = _badge_width(number)
    return (
        f'<g class="badge"><rect class="{ink}" x="{x - width // 2}" y="{y - 9}" width="{width}" height="18" rx="9"/>'
        f"{_text('count', x, y + 4, str(number), 'middle')}</g>"
    )


def _badge_width(number: int) -> int:
    return DIGIT * len(str(number)) + 12


def _legend(missing: list[Drawn]) -> Iterator[str]:
    x, y = 60, 680
    for n, (kind, meaning) in enumerate(KINDS.items()):
        yield _arrow(kind, ((x, y + 28 * n), (x + 40, y + 28 * n)))
        yield _text("", x + 54, y + 4 + 28 * n, meaning)
    for n, note in enumerate(NOTES):
        yield _text("hint", x, y + 28 * len(KINDS) + 20 + 20 * n, note)
    if missing:
        yield _text("hint", 20, HEIGHT - 6, "not laid out: " + ", ".join(f"{d.source} {d.trigger} {d.target}" for d in missing))


def _text(css: str, x: int, y: int, text: str, anchor: str = "start") -> str:
    return f'<text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
