"""The parts of docs/lifecycle.md that come from the table. `python -m tests.lifecycle_page` puts the page right."""

from pathlib import Path

from apps.diagram.diagram import draw, drawn
from domain.order.lifecycle import CLOSED, TABLE, State, Step, step

PAGE = Path(__file__).parent.parent / "docs" / "lifecycle.md"


def generated() -> dict[str, str]:
    """What stands between `<!-- name -->` and `<!-- /name -->`."""
    return {"states": _states(), "transitions": _transitions(), "diagram": f"```mermaid\n{draw('mermaid')}```"}


def renewed(page: str) -> str:
    for name, text in generated().items():
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->")
        page = f"{before}<!-- {name} -->\n{text}\n<!-- /{name} -->{after}"
    return page


def _states() -> str:
    rows = [f"| `{state}` | {_yes(state in CLOSED)} | {_sources(state)} | {_targets(state)} |" for state in State]
    return "\n".join(["| state | closed | reached from | leads to |", "|---|---|---|---|", *rows])


def _sources(state: State) -> str:
    return _listed([s for s in State if s is not state and any(d.source is s and d.target is state for d in drawn())]) or "a submit"


def _targets(state: State) -> str:
    return _listed([s for s in State if s is not state and any(d.source is state and d.target is s for d in drawn())]) or "-"


def _transitions() -> str:
    return "\n".join(["| trigger | from | to |", "|---|---|---|", *(row for one in TABLE if (row := _transition(one)))])


def _transition(one: Step) -> str:
    """One row of the table; those that stay where they are say so once for all their states."""
    twins = [other for other in TABLE if other.trigger == one.trigger and other.sources == (other.target,)]
    if one in twins:
        return f"| `{one.trigger}` | {_listed([t.target for t in twins])} | stays |" if one is twins[0] else ""
    assert all(step(source, one.trigger) is one.target for source in one.sources)
    return f"| `{one.trigger}` | {'any state' if set(one.sources) == set(State) else _listed(list(one.sources))} | `{one.target}` |"


def _listed(states: list[State]) -> str:
    return ", ".join(f"`{state}`" for state in states)


def _yes(value: bool) -> str:
    return "yes" if value else ""


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
