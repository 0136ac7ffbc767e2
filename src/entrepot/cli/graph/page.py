"""The whole picture: what was run and how it went, the timeline, and who took whose results."""

from collections.abc import Sequence
from math import ceil
from typing import Final

from entrepot._text import cut, span, spoken
from entrepot._version import __version__
from entrepot.cli.graph.dependencies import draw_dependencies
from entrepot.cli.graph.style import LEGEND, STYLE, state_class
from entrepot.cli.graph.svg import Drawing, escaped, fitting, number
from entrepot.cli.graph.timeline import draw_timeline
from entrepot.cli.output import when
from entrepot.runs.graph import GraphNode, RunGraph

__all__ = ["picture", "shows"]

_MARK: Final = 'data-entrepot-run="{}"'
_WIDTH: Final = 1200.0
_MARGIN: Final = 28.0


def picture(graph: RunGraph) -> str:
    """Return the picture of a run as an SVG document: one file that needs no other, and holds no scripts."""
    drawing = Drawing()
    wide = _WIDTH - 2 * _MARGIN
    with drawing.group(at=(_MARGIN, _MARGIN)):
        y = _draw_head(drawing, graph, wide)
    with drawing.group(at=(_MARGIN, _MARGIN + y)):
        y += draw_timeline(drawing, graph, width=wide) + 34
    drawing.text(_MARGIN, _MARGIN + y, "Who took whose results", "section")
    y += 18
    with drawing.group(at=(_MARGIN, _MARGIN + y)):
        needed, height = draw_dependencies(drawing, graph, width=wide)
    width, height = ceil(needed + 2 * _MARGIN), ceil(y + height + 2 * _MARGIN)
    size = (number(width), number(height))
    title = f"{graph.run.definition} · {graph.run.name}"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" {_MARK.format(escaped(graph.run.run_id))}
 role="img" aria-labelledby="title desc" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}">
<title id="title">{escaped(title)}</title>
<desc id="desc">{escaped(_described(graph))}</desc>
<!-- drawn by entrepot {__version__} -->
<style>{STYLE}</style>
<rect width="{size[0]}" height="{size[1]}" class="page"/>
{drawing}
</svg>
"""


def shows(head: str, run_id: str) -> bool:
    """Return whether a file is a picture of this run, by its first 1,000 characters."""
    return _MARK.format(escaped(run_id)) in head


def _draw_head(drawing: Drawing, graph: RunGraph, width: float) -> float:
    """Draw what was run, how it went, and what the colours mean; return the height."""
    run = graph.run
    name = fitting(run.definition or run.name or run.run_id, width - 200, 21)
    drawing.text(0, 18, name, "title")
    style = state_class(run.state_type or "PENDING", run.state_name or "Pending")
    state = fitting(run.state_name or "Pending", 130)
    pill = 22 + 7.2 * len(state)
    drawing.rectangle(width - pill, 0, pill, 24, style, round_=12)
    drawing.text(width - pill / 2, 16, state, "pill", anchor="middle")
    facts = [run.name, when(run.created), f"took {span(run.duration)}" if run.duration else "", _counted(graph)]
    drawing.text(0, 42, fitting(" · ".join(filter(None, facts)), width), "soft")
    y = 42.0
    if run.message and run.state_type != "COMPLETED":
        y += 20
        drawing.text(0, y, fitting(run.message, width), "bad")
    y += 20
    x = 0.0
    for mark, words in _legend(graph.nodes):
        if mark in {"retry", "pending", "paused"}:
            drawing.line(x, y, x + 16, y, f"edge-{mark}")
        else:
            drawing.rectangle(x, y - 5, 16, 10, mark, round_=2)
        drawing.text(x + 22, y + 4, words, "small soft")
        x += 44 + 6 * len(words)
    return y + 24


def _legend(nodes: Sequence[GraphNode]) -> Sequence[tuple[str, str]]:
    """Return the marks that there are in the picture."""
    seen = {state_class(*state) for node in nodes for state in node.counts}
    for node in nodes:
        for piece in node.spans:
            seen |= {{"waiting": "pending", "retrying": "retry", "paused": "paused"}.get(piece.kind, "")}
            if piece.kind == "running" and piece.outcome in {"SCHEDULED", "PENDING", "RUNNING"}:
                seen.add("lost")
    return [(mark, words) for mark, words in LEGEND if mark in seen]


def _counted(graph: RunGraph) -> str:
    counts: dict[str, int] = {}
    for node in graph.nodes:
        if node.kind == "task":
            for (_, name), many in node.counts.items():
                counts[name] = counts.get(name, 0) + many
    total = sum(counts.values())
    if not total:
        return ""
    states = ", ".join(f"{many:,} {spoken(name)}" for name, many in sorted(counts.items(), key=lambda one: -one[1]))
    return f"{total:,} task run{'' if total == 1 else 's'}: {states}"


def _described(graph: RunGraph) -> str:
    """Return the picture in words, for who cannot see it."""
    run = graph.run
    words = [f"Timeline and dependencies of the {run.kind} run {run.name} of {run.definition}: {run.state_name}"]
    if run.duration:
        words.append(f"it took {span(run.duration)}")
    words += filter(None, [_counted(graph)])
    failed = [node for node in graph.nodes[1:] if node.state_type in {"FAILED", "CRASHED"}]
    if failed:
        words.append("failed: " + ", ".join(cut(node.name, 60) for node in failed[:10]))
    return "; ".join(words) + "."
