"""The graph of dependencies: boxes for runs and groups, arrows from those whose results were taken to who took them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

from entrepot._text import span, spoken
from entrepot.cli.graph.layout import Layout, Route, laid_out
from entrepot.cli.graph.style import state_class
from entrepot.cli.graph.svg import TIMES, Drawing, fitting, number
from entrepot.cli.graph.timeline import story
from entrepot.runs.graph import GraphNode, RunGraph

__all__ = ["BOXES", "draw_dependencies"]

BOXES: Final = 150
"""The most boxes: more are counted below."""

_FEW: Final = 6  # runs of one task that have boxes of their own
_SIZE: Final = (166.0, 40.0)
_GAPS: Final = (44.0, 14.0)
_SMALLEST: Final = 0.55  # of the size: a wider graph makes a wider picture


@dataclass(frozen=True, slots=True)
class _Box:
    """One or more nodes of one flow or task."""

    id: str
    nodes: Sequence[GraphNode]

    @property
    def runs(self) -> int:
        return sum(node.runs for node in self.nodes)


def draw_dependencies(drawing: Drawing, graph: RunGraph, *, width: float) -> tuple[float, float]:
    """Draw who took whose results; return width and height.

    Args:
        drawing: Where.
        graph: The run.
        width: How wide it should be; a large graph is wider.
    """
    boxes, arrows = _boxes(graph)
    if not boxes:
        drawing.text(0, 14, "No run took the result of another one as far as is known.", "soft")
        return width, 20
    shown = {box.id: box for box in list(boxes.values())[:BOXES]}
    layout = laid_out(list(shown), list(arrows), size=_SIZE, gaps=_GAPS)
    scale = max(min(width / layout.width, 1.0), _SMALLEST)
    with drawing.group(scale=scale):
        for route in layout.routes:
            _draw_arrow(drawing, route, layout, arrows[route.source, route.target])
        for box in shown.values():
            _draw_box(drawing, box, layout)
    height = layout.height * scale
    if len(boxes) > len(shown):
        drawing.text(0, height + 20, f"... and {len(boxes) - len(shown):,} more", "soft")
        height += 24
    return max(width, layout.width * scale), height


def _boxes(graph: RunGraph) -> tuple[Mapping[str, _Box], Mapping[tuple[str, str], int]]:
    """Return what is drawn: boxes by id, and how many results each arrow stands for. Siblings share a box if many."""
    tied = {end for edge in graph.edges for end in (edge.source, edge.target)}
    nodes = [node for node in graph.nodes if node.id in tied]
    few = _FEW
    siblings: dict[tuple[str | None, str, str], list[GraphNode]] = {}
    for node in nodes:
        siblings.setdefault((node.parent, node.kind, node.definition), []).append(node)
    if sum(len(some) if len(some) <= few else 1 for some in siblings.values()) > BOXES:
        few = 1
    box_of: dict[str, str] = {}
    boxes: dict[str, _Box] = {}
    for node in nodes:
        some = siblings[node.parent, node.kind, node.definition]
        together = some if len(some) > few else [node]
        box = boxes.setdefault(together[0].id, _Box(together[0].id, together))
        box_of[node.id] = box.id
    arrows: dict[tuple[str, str], int] = {}
    for edge in graph.edges:
        ends = (box_of[edge.source], box_of[edge.target])
        if ends[0] != ends[1]:
            arrows[ends] = arrows.get(ends, 0) + edge.times
    return boxes, arrows


def _draw_box(drawing: Drawing, box: _Box, layout: Layout) -> None:
    place, first = layout.places[box.id], box.nodes[0]
    width, height = _SIZE
    worst = next((node for node in box.nodes if node.state_type in {"FAILED", "CRASHED"}), first)
    counts: dict[str, int] = {}
    for node in box.nodes:
        for (_, name), many in node.counts.items():
            counts[name] = counts.get(name, 0) + many
    name = f"{first.definition} {TIMES} {box.runs:,}" if box.runs > 1 else first.name or first.id
    if box.runs == 1 and first.kind == "flow":
        name = f"{first.definition} · {first.name}"
    if box.runs > 1:
        detail = ", ".join(f"{many:,} {spoken(state)}" for state, many in counts.items())
    else:
        detail = " · ".join(filter(None, [spoken(first.state_name), span(first.duration)]))
    title = story(first) if len(box.nodes) == 1 else f"{first.kind} {first.definition}: {detail}"
    with drawing.group(title=title, at=(place.x, place.y)):
        if box.runs > 1:
            drawing.rectangle(4, 4, width, height, "box", round_=5)
        drawing.rectangle(0, 0, width, height, "box", round_=5)
        drawing.rectangle(0, 0, 5, height, state_class(worst.state_type, worst.state_name), round_=2)
        drawing.text(14, 17, fitting(name, width - 22, strong=True), "strong")
        failed = worst.state_type in {"FAILED", "CRASHED"}
        drawing.text(14, 32, fitting(detail, width - 22, 10.5), "small bad" if failed else "small soft")


def _draw_arrow(drawing: Drawing, route: Route, layout: Layout, times: int) -> None:
    (x, y), (end_x, end_y) = _ends(route, layout)
    steps = [f"M{number(x)} {number(y)}"]
    for number_, (next_x, next_y) in enumerate([*route.through, (end_x, end_y)]):
        if number_ % 2:  # along a layer
            steps.append(f"L{number(next_x)} {number(next_y)}")
        else:  # between layers
            bend = max(abs(next_x - x) / 2, 24 if route.backwards else 0)
            if route.backwards:
                bend = -bend if route.through else bend
                other = -bend if route.through else bend
            else:
                other = bend
            steps.append(
                f"C{number(x + bend)} {number(y)} {number(next_x - other)} {number(next_y)}"
                f" {number(next_x)} {number(next_y)}"
            )
        x, y = next_x, next_y
    with drawing.group(title=f"{times:,} result{'' if times == 1 else 's'}"):
        thick = 1.2 + 0.6 * log10(times)
        drawing.add(
            f'<path d="{"".join(steps)}" stroke-width="{number(thick)}"'
            f' class="arrow{" back" if route.backwards else ""}"/>'
        )
        if not route.backwards:
            drawing.path([f"M{number(x)} {number(y)}l-7 -3.5v7z"], "head")


def _ends(route: Route, layout: Layout) -> tuple[tuple[float, float], tuple[float, float]]:
    source, target = layout.places[route.source], layout.places[route.target]
    width, half = _SIZE[0], _SIZE[1] / 2
    if route.backwards:  # from the left of the one to the right of the other
        return (source.x, source.y + half), (target.x + width, target.y + half)
    return (source.x + width, source.y + half), (target.x, target.y + half)
