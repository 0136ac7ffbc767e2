"""The timeline: a row for each run or group, with what it did when; rows of what it called stand below it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from entrepot._text import cut, span, spoken
from entrepot.cli.graph.axis import ticks
from entrepot.cli.graph.style import state_class
from entrepot.cli.graph.svg import TIMES, Drawing, fitting, number
from entrepot.cli.output import when
from entrepot.runs.graph import GraphNode, RunGraph, Span

__all__ = ["ROWS", "draw_timeline", "story"]

ROWS: Final = 400
"""The most rows: more are counted below."""

_ROW: Final = 24.0
_BAR: Final = 14.0
_FLOW_BAR: Final = 6.0
_AXIS: Final = 36.0
_NAMES: Final = 250.0  # pixels for names
_SPANS: Final = 80.0  # pixels for how long
_INDENT: Final = 14.0
_DEEPEST: Final = 8  # floors that are indented
_PIECES: Final = 80  # spans of a row that are drawn
_LEAST: Final = 2.0  # pixels of the shortest bar
_MESSAGE: Final = 300


def draw_timeline(drawing: Drawing, graph: RunGraph, *, width: float) -> float:
    """Draw the timeline of a run; return its height.

    Args:
        drawing: Where.
        graph: The run.
        width: How wide.
    """
    nodes, hidden = _chosen(graph.nodes)
    scale = _Scale(graph, _NAMES, width - _NAMES - _SPANS)
    height = _AXIS + _ROW * (len(nodes) + (hidden > 0))
    bottom = _AXIS + _ROW * len(nodes)
    for tick in ticks(scale.start, scale.seconds):
        x = scale.at_seconds(tick.seconds)
        anchor = "middle" if x < width - _SPANS - 20 else "end"
        drawing.text(x, 12, tick.past, "small strong", anchor=anchor)
        drawing.text(x, 25, tick.clock, "small soft", anchor=anchor)
    for place, node in enumerate(nodes):
        with drawing.group("row", title=story(node), at=(0, _AXIS + place * _ROW)):
            drawing.rectangle(-8, 0, width + 16, _ROW, "stripe" if place % 2 == 0 else "page")
            for tick in ticks(scale.start, scale.seconds):
                drawing.line(scale.at_seconds(tick.seconds), 0, scale.at_seconds(tick.seconds), _ROW, "grid")
            _draw_row(drawing, node, scale, width)
    if hidden:
        drawing.text(0, bottom + 16, f"... and {hidden:,} more runs", "soft")
    return height


def story(node: GraphNode) -> str:
    """Return what is told of a run to who points at it."""
    counted = ", ".join(f"{many:,} {spoken(name)}" for (_, name), many in node.counts.items())
    kind = node.kind
    lines = [f"{kind} {node.definition}: {counted}" if node.is_group else f"{kind} run {node.name}: {node.state_name}"]
    if not node.is_group and node.definition and node.definition != node.name:
        lines.append(f"of {kind} {node.definition}")
    if node.started is not None:
        lines.append(f"started {when(node.started, exact=True)}")
    elif node.created is not None:
        lines.append(f"created {when(node.created, exact=True)}")
    if node.ended is not None:
        lines.append(f"ended {when(node.ended, exact=True)}")
    if node.duration is not None:
        lines.append(f"took {span(node.duration)}")
    if node.attempts > 1:
        lines.append(f"{'up to ' * node.is_group}{node.attempts} attempts")
    if node.activity:
        lines.append(f"up to {max(node.activity):,} at once")
    if node.message:
        lines.append(cut(node.message, _MESSAGE))
    return "\n".join(lines)


class _Scale:
    """Turns times into places."""

    def __init__(self, graph: RunGraph, left: float, width: float) -> None:
        moments = [moment for node in graph.nodes for moment in (node.created, node.started) if moment]
        self.start = min(moments, default=graph.until)
        self.seconds = max((graph.until - self.start).total_seconds(), 0.001)
        self._left = left
        self._width = width

    def at(self, moment: datetime) -> float:
        """Return the place of a moment; of one outside the picture that of the nearest inside."""
        return self.at_seconds(min(max((moment - self.start).total_seconds(), 0), self.seconds))

    def at_seconds(self, seconds: float) -> float:
        return self._left + seconds / self.seconds * self._width


def _chosen(nodes: Sequence[GraphNode]) -> tuple[Sequence[GraphNode], int]:
    """Return the rows that are drawn, and how many runs are left out: first of all those that went well."""
    if len(nodes) <= ROWS:
        return nodes, 0
    ranks = [
        0 if node.depth == 0 else 1 if node.state_type in {"FAILED", "CRASHED"} else 2 if node.kind == "flow" else 3
        for node in nodes
    ]
    kept = sorted(sorted(range(len(nodes)), key=lambda place: (ranks[place], place))[:ROWS])
    hidden = sum(node.runs for node in nodes) - sum(nodes[place].runs for place in kept)
    return [nodes[place] for place in kept], hidden


def _draw_row(drawing: Drawing, node: GraphNode, scale: _Scale, width: float) -> None:
    middle = _ROW / 2
    indent = _INDENT * min(node.depth, _DEEPEST)
    if node.depth:
        drawing.path([f"M{number(indent - 9)} 0V{number(middle)}H{number(indent - 2)}"], "tree")
    name = f"{node.name} {TIMES} {node.runs:,}" if node.is_group else node.name or node.id
    if node.kind == "flow" and not node.is_group and node.definition:
        name = f"{node.definition} · {node.name}"
    style = "strong" if node.kind == "flow" else ""
    drawing.text(indent + 2, middle + 4, fitting(name, _NAMES - indent - 12, strong=node.kind == "flow"), style)
    if node.is_group:
        _draw_group(drawing, node, scale)
    else:
        _draw_run(drawing, node, scale)
    took = span(node.duration) or spoken(node.state_name)
    failed = sum(many for (state_type, _), many in node.counts.items() if state_type in {"FAILED", "CRASHED"})
    if node.is_group and failed:
        drawing.text(width, middle + 4, f"{failed:,} failed", "bad", anchor="end")
    else:
        drawing.text(width, middle + 4, took, "bad" if failed else "soft", anchor="end")


def _draw_run(drawing: Drawing, node: GraphNode, scale: _Scale) -> None:
    middle = _ROW / 2
    height = _FLOW_BAR if node.kind == "flow" else _BAR
    spans = node.spans
    if len(spans) > _PIECES:
        spans = [*spans[: _PIECES // 2], *spans[-_PIECES // 2 :]]
    for piece in spans:
        begin, end = scale.at(piece.start), scale.at(piece.end)
        if piece.kind == "running":
            style = _outcome(piece, node)
            drawing.rectangle(begin, middle - height / 2, max(end - begin, _LEAST), height, style, round_=2)
        else:
            style = {"waiting": "pending", "retrying": "retry", "paused": "paused"}[piece.kind]
            drawing.line(begin, middle, end, middle, f"edge-{style}")
    if node.ended is None or any(piece.kind == "running" for piece in spans):
        return
    x = scale.at(node.ended)  # it ended without having run: a diamond
    drawing.path([f"M{number(x - 5)} {number(middle)}l5 -6l5 6l-5 6z"], state_class(node.state_type, node.state_name))


def _outcome(piece: Span, node: GraphNode) -> str:
    """Return the class of a time in which a run ran: an attempt that was not the last did not end well."""
    if piece.outcome is None:
        return "running"
    if piece.outcome in {"SCHEDULED", "PENDING", "RUNNING"}:
        return "lost"
    return state_class(node.state_type, node.state_name)


def _draw_group(drawing: Drawing, node: GraphNode, scale: _Scale) -> None:
    """Draw how many runs were under way over time, and where some failed."""
    (state_type, state_name) = next(iter(node.counts))
    style = state_class(state_type, state_name)
    base, tall = _ROW - 4, _ROW - 7
    if node.activity and node.started is not None:
        begin, end = scale.at(node.started), scale.at(node.ended) if node.ended else scale.at_seconds(scale.seconds)
        part = max(end - begin, _LEAST) / len(node.activity)
        peak = max(node.activity)
        steps, before = [f"M{number(begin)} {number(base)}"], -1
        for place, many in enumerate(node.activity):
            if many != before:
                steps.append(f"H{number(begin + place * part)}V{number(base - tall * many / peak)}")
                before = many
        drawing.path([*steps, f"H{number(max(end, begin + _LEAST))}V{number(base)}z"], f"{style} area")
    elif node.ended is not None:  # all of them were known already
        x = scale.at(node.ended)
        drawing.path([f"M{number(x - 5)} {number(_ROW / 2)}l5 -6l5 6l-5 6z"], style)
    for moment in node.failures:
        drawing.line(scale.at(moment), 2, scale.at(moment), _ROW - 4, "edge-failed")
