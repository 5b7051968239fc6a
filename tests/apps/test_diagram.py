"""Every format shows the whole machine, counts where they belong, and the page in docs/ says what the table says."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from transitions.extensions import GraphMachine

from adapters.picture import png
from apps.diagram.diagram import FORMATS, Counts, draw, drawn
from apps.diagram.layout import BOXES, HEIGHT, LINES, WIDTH, Box, Drawn
from apps.diagram.svg import svg
from domain.order.lifecycle import CLOSED, TABLE, State, machine_transitions
from tests.lifecycle_page import PAGE, renewed

SVG = "{http://www.w3.org/2000/svg}"
NUMBERED = Counts(
    states={state: 700 + n for n, state in enumerate(State)},
    steps={(d.source, d.trigger): 9000 + n for n, d in enumerate(drawn())},
)
Edges = dict[tuple[str, str], set[str]]


def table_edges() -> Edges:
    edges: Edges = {}
    for one in TABLE:
        for source in one.sources:
            edges.setdefault((source, one.target), set()).add(one.trigger)
    return edges


def test_every_row_of_the_table_is_drawn_from_the_running_machine() -> None:
    assert set(drawn()) == {Drawn(source, one.trigger, one.target) for one in TABLE for source in one.sources}


# Mermaid


def mermaid_edges(text: str) -> Edges:
    found = re.findall(r"^\s*(\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    assert len({(a, b) for a, b, _ in found}) == len(found), "parallel steps share one arrow"
    return {(a, b): set(label.split(" | ")) for a, b, label in found}


def test_mermaid_has_the_edges_of_the_table_and_of_the_library_s_own_drawing() -> None:
    class Model:
        state: str

    stock = GraphMachine(
        Model(),
        states=list(map(str, State)),
        transitions=machine_transitions(),
        initial="new",
        auto_transitions=False,
        graph_engine="mermaid",
    )
    assert mermaid_edges(draw("mermaid")) == table_edges() == mermaid_edges(stock.get_graph().source)


def test_mermaid_opens_with_the_start_and_closes_with_the_closed_states() -> None:
    lines = [line.strip() for line in draw("mermaid").splitlines()]
    assert lines[0] == "stateDiagram-v2"
    assert "[*] --> new: submit" in lines
    assert {line for line in lines if line.endswith("--> [*]")} == {f"{state} --> [*]" for state in CLOSED}


def test_mermaid_shows_counts() -> None:
    text = draw("mermaid", NUMBERED)
    assert 'state "queued (702)" as queued' in text
    assert f"queued --> routed: route ({NUMBERED.steps[State.QUEUED, 'route']})" in text
    assert re.sub(r" \(\d+\)", "", text) == draw("mermaid")


# DOT


def dot_statements(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A small reader of the part of the DOT grammar that a flat digraph needs; it fails on anything else."""
    attribute = r'\w+=(?:"(?:[^"\\]|\\.)*"|[\w.]+)'
    head, *body, tail = text.strip().splitlines()
    assert (head, tail) == ("digraph order {", "}")
    for line in body:
        match = re.fullmatch(rf"\s*(\w+|\w+ -> \w+) \[({attribute}(?:, {attribute})*)\];", line)
        assert match, f"not DOT: {line}"
        yield match[1], dict(pair.split("=", 1) for pair in re.findall(attribute, match[2]))


def test_dot_has_the_edges_of_the_table() -> None:
    edges: Edges = {}
    for name, attributes in dot_statements(draw("dot")):
        if " -> " in name and not name.startswith("start"):
            source, target = name.split(" -> ")
            assert (source, target) not in edges, "parallel steps share one arrow"
            edges[source, target] = set(attributes["label"].strip('"').split(r"\n"))
    assert edges == table_edges()


def test_dot_marks_closed_states_and_shows_counts() -> None:
    nodes = {name: attributes for name, attributes in dot_statements(draw("dot", NUMBERED)) if name in set(map(str, State))}
    assert {name for name, attributes in nodes.items() if attributes.get("peripheries") == "2"} == CLOSED
    assert nodes["queued"]["label"] == '"queued (702)"'
    assert re.sub(r" \(\d+\)", "", draw("dot", NUMBERED)) == draw("dot")


# SVG


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_the_layout_has_a_place_for_every_state_and_every_step() -> None:
    assert set(BOXES) == set(State)
    placed = {Drawn(source, trigger, line.target) for line in LINES for source in line.sources for trigger in line.triggers}
    assert placed == {d for d in drawn() if d.source is not d.target}, "nothing is missing and nothing is drawn that the machine lacks"
    assert sum(len(line.sources) * len(line.triggers) for line in LINES) == len(placed), "nothing is drawn twice"


def test_the_svg_is_well_formed_and_names_everything() -> None:
    found = texts(draw("svg"))
    assert set(map(str, State)) <= set(found)
    assert {one.trigger for one in TABLE} <= {text.removeprefix("↻ ") for text in found}
    assert not [text for text in found if text.startswith("not laid out")]
    drawn_labels = Counter(trigger for line in LINES for trigger in line.triggers)
    assert {trigger: found.count(trigger) for trigger in drawn_labels} == drawn_labels
    root = ElementTree.fromstring(draw("svg"))
    told = {name for title in root.iter(f"{SVG}title") for name in (title.text or "").split(", ")}
    stays = {f"{d.source} {d.trigger}" for d in drawn() if d.source is d.target}
    assert {f"{d.source} {d.trigger}" for d in drawn()} <= told | stays


def test_a_step_that_has_no_place_is_printed_and_not_left_out() -> None:
    picture = svg((*drawn(), Drawn(State.NEW, "teleport", State.FILLED)), None)
    assert "not laid out: new teleport filled" in texts(picture)


def test_a_step_that_the_machine_lost_is_not_drawn() -> None:
    picture = svg(tuple(d for d in drawn() if d.trigger != "no_route"), None)
    assert "no_route" not in texts(picture)


def test_the_svg_shows_counts_on_states_and_arrows_and_pales_what_never_happened() -> None:
    assert 'class="badge"' not in draw("svg")
    assert "quiet" not in ElementTree.tostring(ElementTree.fromstring(draw("svg")).find(f"{SVG}g"), encoding="unicode")  # type: ignore[arg-type]
    counts = Counts(
        states={State.QUEUED: 41},
        steps={(State.QUEUED, "route"): 5, (State.ROUTED, "venue_cancelled"): 2, (State.IN_DOUBT, "venue_cancelled"): 3},
    )
    picture = draw("svg", counts)
    badges = [text.text for text in ElementTree.fromstring(picture).iter(f"{SVG}text") if text.get("class") == "count"]
    assert sorted(map(str, badges)) == ["41", "5", "5"], "arrows that stand for several steps show their sum"
    assert picture.count('class="step quiet"') == len(LINES) - 2


class Area(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Area") -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom

    def within(self, other: "Area") -> bool:
        return other.left <= self.left and other.top <= self.top and self.right <= other.right and self.bottom <= other.bottom


LETTER = {"name": 9.6, "stay": 6.95, "label": 6.95, "count": 7.0, "title": 12.0, "hint": 6.6, "": 6.6}
"""Width of a letter in px, by class of text: DejaVu, the widest of the fonts that the picture names."""
BUSY = Counts(
    states=dict.fromkeys(State, 1_234_567),
    steps={(d.source, d.trigger): 1_234_567 for d in drawn()},
)


class Shape(NamedTuple):
    """What is drawn: a text, a badge, the border of a box or frame, or one stretch of an arrow."""

    kind: str
    name: str
    area: Area


def shapes(picture: str) -> list[Shape]:
    """Everything in the picture by where it is; corners count as square."""
    root = ElementTree.fromstring(picture)
    counts = {id(text) for badge in root.iter(f"{SVG}g") if badge.get("class") == "badge" for text in badge.iter(f"{SVG}text")}
    return [
        *(text_shape(text) for text in root.iter(f"{SVG}text") if id(text) not in counts),
        *(shape for rect in root.iter(f"{SVG}rect") for shape in rect_shapes(rect)),
        *(Shape("arrow", path.get("d", ""), stretch) for path in root.iter(f"{SVG}path") for stretch in stretches(path.get("d", ""))),
    ]


def text_shape(text: ElementTree.Element) -> Shape:
    name, kind = text.text or "", text.get("class", "").split(" ")[0]
    width, x, y = LETTER[kind] * len(name), float(text.get("x", 0)), float(text.get("y", 0))
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
    return Shape("stay" if kind in ("stay", "name") else "text", name, Area(left, y - 9, left + width, y + 3))


def rect_shapes(rect: ElementTree.Element) -> Iterator[Shape]:
    kind = rect.get("class", "")
    if kind == "page":
        return
    left, top, width, height = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
    area = Area(left, top, left + width, top + height)
    if kind == "frame":
        for side in sides(area):
            yield Shape("frame", str(area), side)
    else:
        yield Shape("box" if kind.startswith("box") else "badge", str(area), area)


def sides(area: Area) -> tuple[Area, ...]:
    left, top, right, bottom = area
    return (
        Area(left, top, right, top + 1),
        Area(left, bottom - 1, right, bottom),
        Area(left, top, left + 1, bottom),
        Area(right - 1, top, right, bottom),
    )


def stretches(path: str) -> Iterator[Area]:
    points = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]
    for (x0, y0), (x1, y1) in pairwise(points):
        yield Area(min(x0, x1) - 0.9, min(y0, y1) - 0.9, max(x0, x1) + 0.9, max(y0, y1) + 0.9)


@pytest.mark.parametrize("counts", [None, BUSY, NUMBERED], ids=["bare", "seven digits", "four digits"])
def test_no_text_leaves_its_box_or_lies_on_anything(counts: Counts | None) -> None:
    found = shapes(draw("svg", counts))
    boxes = [shape.area for shape in found if shape.kind == "box"]
    page = Area(0, 0, WIDTH, HEIGHT)
    assert [shape for shape in found if not shape.area.within(page)] == []
    assert [shape for shape in found if shape.kind == "stay" and not any(shape.area.within(box) for box in boxes)] == []
    texts_of_boxes = [shape for shape in found if shape.kind == "stay"]
    others = [shape for shape in found if shape.kind in ("text", "badge")]
    assert [(a, b) for a, b in combinations([*texts_of_boxes, *others], 2) if a.area.meets(b.area)] == []
    solid = [shape for shape in found if shape.kind in ("box", "frame", "arrow")]
    assert [(a.name, b) for a in others for b in solid if a.kind == "text" and a.area.meets(b.area)] == []


def test_a_badge_lies_on_no_arrow_but_its_own() -> None:
    found = shapes(draw("svg", BUSY))
    crossing = {}
    for badge in (shape for shape in found if shape.kind == "badge"):
        crossing[badge.name] = {shape.name for shape in found if shape.kind == "arrow" and shape.area.meets(badge.area)}
    assert {name: arrows for name, arrows in crossing.items() if len(arrows) > 1} == {}


def box_area(box: Box) -> Area:
    return Area(box.x, box.y, box.x + box.width, box.y + box.height)


def test_arrows_run_square_and_end_at_the_box_they_name() -> None:
    for line in LINES:
        for (x0, y0), (x1, y1) in zip(line.points, line.points[1:], strict=False):
            assert (x0 == x1) != (y0 == y1), f"{line.triggers} -> {line.target}"
        x, y = line.points[-1]
        left, top, right, bottom = box_area(BOXES[line.target])
        assert (x in (left, right) and top < y < bottom) or (y in (top, bottom) and left < x < right), f"{line.triggers} -> {line.target}"
        if len(line.sources) == 1:
            x, y = line.points[0]
            left, top, right, bottom = box_area(BOXES[line.sources[0]])
            assert (x in (left, right) and top < y < bottom) or (y in (top, bottom) and left < x < right), f"{line.sources} {line.triggers}"


# PNG and the page


def test_a_png_is_a_picture_of_the_asked_size() -> None:
    data = png(draw("svg", NUMBERED), zoom=1)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (WIDTH, HEIGHT)


def test_an_unknown_format_is_a_mistake() -> None:
    assert set(FORMATS) == {"mermaid", "dot", "svg", "json"}
    with pytest.raises(KeyError):
        draw("jpeg")  # type: ignore[arg-type]


def test_the_page_says_what_the_table_says() -> None:
    page = PAGE.read_text()
    assert f"```mermaid\n{draw('mermaid')}```" in page, "python -m tests.lifecycle_page puts it right"
    assert renewed(page) == page, "python -m tests.lifecycle_page puts it right"
    for one in TABLE:
        assert f"| `{one.trigger}` |" in page
