"""The state machine as Mermaid, DOT, SVG or JSON text, optionally with live counts."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from apps.diagram import geometry, svg
from apps.diagram.layout import Counts, Drawn
from domain.order.lifecycle import CLOSED, TRIGGERS, State, machine

__all__ = ["FORMATS", "Counts", "Format", "draw", "drawn"]

Format = Literal["mermaid", "dot", "svg", "json"]


def draw(format: Format, counts: Counts | None = None) -> str:  # noqa: A002 - the name of the parameter in the API
    """Return the whole machine as text. KeyError for a format that is not in `FORMATS`."""
    return FORMATS[format](drawn(), counts)


def drawn() -> tuple[Drawn, ...]:
    """Return every step of the running machine, not of the table that it was built from, sorted by state and trigger."""
    order = {trigger: n for n, trigger in enumerate(TRIGGERS)}
    life = {state: n for n, state in enumerate(State)}
    return tuple(sorted(_asked(), key=lambda d: (life[d.source], life[d.target], order[d.trigger])))


def _asked() -> Iterator[Drawn]:
    for trigger, event in machine().events.items():
        for source, transitions in event.transitions.items():
            for transition in transitions:
                yield Drawn(State(source), trigger, State(str(transition.dest)))


class Arrow(NamedTuple):
    """All steps between the same two states, as one line with one label."""

    source: State
    target: State
    label: str


def _arrows(steps: tuple[Drawn, ...], counts: Counts | None, between: str) -> list[Arrow]:
    labels: dict[tuple[State, State], list[str]] = {}
    for d in steps:
        number = f" ({counts.steps.get((d.source, d.trigger), 0)})" if counts else ""
        labels.setdefault((d.source, d.target), []).append(d.trigger + number)
    return [Arrow(source, target, between.join(texts)) for (source, target), texts in labels.items()]


def _name(state: State, counts: Counts | None) -> str:
    return f"{state} ({counts.states.get(state, 0)})" if counts else str(state)


def _mermaid(steps: tuple[Drawn, ...], counts: Counts | None) -> str:
    closed = [state for state in State if state in CLOSED]
    return _lines(
        "stateDiagram-v2",
        "  direction LR",
        "  classDef open fill:#ffffff,stroke:#475569,color:#0f172a",
        "  classDef closed fill:#e2e8f0,stroke:#475569,stroke-width:3px,color:#0f172a",
        *(f'  state "{_name(state, counts)}" as {state}' for state in State),
        f"  class {','.join(state for state in State if state not in CLOSED)} open",
        f"  class {','.join(closed)} closed",
        f"  [*] --> {State.NEW}: submit",
        *(f"  {a.source} --> {a.target}: {a.label}" for a in _arrows(steps, counts, " | ")),
        *(f"  {state} --> [*]" for state in closed),
    )


def _dot(steps: tuple[Drawn, ...], counts: Counts | None) -> str:
    return _lines(
        "digraph order {",
        '  graph [rankdir=LR, bgcolor="#ffffff", fontname="Helvetica", nodesep=0.5, ranksep=1.1];',
        '  node [shape=box, style="rounded,filled", fillcolor="#ffffff", color="#475569", fontname="Helvetica", margin="0.2,0.1"];',
        '  edge [color="#64748b", fontname="Helvetica", fontsize=10];',
        '  start [shape=circle, style=filled, fillcolor="#0f172a", label="", width=0.18];',
        *(f'  {state} [label="{_name(state, counts)}"{_CLOSED_DOT if state in CLOSED else ""}];' for state in State),
        f'  start -> {State.NEW} [label="submit"];',
        *(f'  {a.source} -> {a.target} [label="{a.label}"];' for a in _arrows(steps, counts, r"\n")),
        "}",
    )


_CLOSED_DOT: Final = ', peripheries=2, fillcolor="#e2e8f0"'


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"


FORMATS: Final[Mapping[str, Callable[[tuple[Drawn, ...], Counts | None], str]]] = {
    "mermaid": _mermaid,
    "dot": _dot,
    "svg": svg.svg,
    "json": geometry.geometry,
}
