"""Where the boxes of a graph go: in layers from left to right, so that arrows point to the right and cross little.

The method is that of Sugiyama, Tagawa and Toda (1981): arrows that close a circle are turned round, each box gets a
layer behind those that it needs, long arrows are led through the layers between, the order in each layer follows the
mean place of the neighbours, and the heights are those that bend arrows least in that order (isotonic regression).
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

__all__ = ["Layout", "Place", "Route", "laid_out"]

_Arrow: TypeAlias = tuple[str, str]
_Point: TypeAlias = tuple[str | _Arrow, int]  # a box, or where an arrow passes a layer; and the layer

_SWEEPS: Final = 12
_WAYPOINTS: Final = 4_000  # more are not worth their lines: arrows then go straight, behind the boxes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box is, in pixels: its upper left corner, from the upper left corner of the picture."""

    x: float
    y: float
    layer: int


@dataclass(frozen=True, slots=True)
class Route:
    """How an arrow goes.

    Attributes:
        source: The box where it begins, at the middle of its right side.
        target: The box where it ends, at the middle of its left side.
        through: The points that it passes in between, from left to right.
        backwards: Whether it closes a circle, and so points to the left or stays in its layer.
    """

    source: str
    target: str
    through: Sequence[tuple[float, float]]
    backwards: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of all boxes, the ways of all arrows, and the size of the whole."""

    places: Mapping[str, Place]
    routes: Sequence[Route]
    width: float
    height: float


def laid_out(
    nodes: Sequence[str],
    arrows: Sequence[_Arrow],
    *,
    size: tuple[float, float] = (190.0, 40.0),
    gaps: tuple[float, float] = (56.0, 14.0),
) -> Layout:
    """Lay out a graph.

    Args:
        nodes: The boxes; their order decides where nothing else does.
        arrows: From box to box. Arrows from a box to itself, or between what is no box, are left out; of equal ones
            one is kept.
        size: Width and height of every box, in pixels.
        gaps: Between layers, and between boxes in a layer.
    """
    known = set(nodes)
    kept = [(one, other) for one, other in dict.fromkeys(arrows) if one != other and one in known and other in known]
    turned = _closing(nodes, kept)
    forward = list(dict.fromkeys((other, one) if (one, other) in turned else (one, other) for one, other in kept))
    layer_of = _layers(nodes, forward)
    graph = _Layered(nodes, forward, layer_of)
    graph.order()
    heights = graph.heights(size[1], gaps[1])
    step = size[0] + gaps[0]
    top = min(heights.values(), default=0.0)
    places = {
        node: Place(layer_of[node] * step, heights[node, layer_of[node]] - top, layer_of[node])
        for node in dict.fromkeys(nodes)
    }
    routes = []
    for arrow in kept:
        backwards = arrow in turned
        way = graph.ways.get((arrow[1], arrow[0]) if backwards else arrow, ())
        points = []
        for point in reversed(way) if backwards else way:
            y = heights[point] - top + size[1] / 2
            x = point[1] * step
            points.extend([(x + size[0], y), (x, y)] if backwards else [(x, y), (x + size[0], y)])
        routes.append(Route(arrow[0], arrow[1], points, backwards))
    layers = max(layer_of.values(), default=-1) + 1
    bottom = max(heights.values(), default=-size[1]) - top + size[1]
    return Layout(places, routes, max(layers * step - gaps[0], 0.0), bottom)


def _closing(nodes: Sequence[str], arrows: Sequence[_Arrow]) -> set[_Arrow]:
    """Return arrows without which there is no circle: those that lead back to where a walk comes from."""
    leads: dict[str, list[str]] = {}
    for one, other in arrows:
        leads.setdefault(one, []).append(other)
    closing: set[_Arrow] = set()
    seen: set[str] = set()
    for root in nodes:
        if root in seen:
            continue
        seen.add(root)
        on_the_way = {root}
        walk = [(root, iter(leads.get(root, ())))]
        while walk:
            here, rest = walk[-1]
            following = next(rest, None)
            if following is None:
                on_the_way.discard(here)
                walk.pop()
            elif following in on_the_way:
                closing.add((here, following))
            elif following not in seen:
                seen.add(following)
                on_the_way.add(following)
                walk.append((following, iter(leads.get(following, ()))))
    return closing


def _layers(nodes: Sequence[str], arrows: Sequence[_Arrow]) -> dict[str, int]:
    """Return the layer of each box: behind all that lead to it (Kahn's algorithm), and no further than needed."""
    leads: dict[str, list[str]] = {}
    needed = dict.fromkeys(nodes, 0)
    for one, other in arrows:
        leads.setdefault(one, []).append(other)
        needed[other] += 1
    layer = dict.fromkeys(nodes, 0)
    ready = deque(node for node in layer if needed[node] == 0)
    order = []
    while ready:
        node = ready.popleft()
        order.append(node)
        for other in leads.get(node, ()):
            layer[other] = max(layer[other], layer[node] + 1)
            needed[other] -= 1
            if needed[other] == 0:
                ready.append(other)
    sinks = {other for _, other in arrows}
    for node in reversed(order):  # what needs nothing stands next to what needs it
        if node not in sinks and node in leads:
            layer[node] = min(layer[other] for other in leads[node]) - 1
    return layer


class _Layered:
    """Boxes and the waypoints of long arrows, by layers. A waypoint is known by its arrow and its layer.

    Attributes:
        ways: The waypoints of each arrow that is longer than from one layer to the next.
    """

    def __init__(self, nodes: Sequence[str], arrows: Sequence[_Arrow], layer_of: Mapping[str, int]) -> None:
        self.ways: dict[_Arrow, list[_Point]] = {}
        self._layers: list[list[_Point]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
        self._before: dict[_Point, list[_Point]] = {}
        self._after: dict[_Point, list[_Point]] = {}
        self._boxes = {(node, layer_of[node]) for node in nodes}
        for node in dict.fromkeys(nodes):
            self._layers[layer_of[node]].append((node, layer_of[node]))
        waypoints = sum(max(layer_of[other] - layer_of[one] - 1, 0) for one, other in arrows)
        for one, other in arrows:
            begin, end = layer_of[one], layer_of[other]
            way: list[_Point] = []
            if waypoints <= _WAYPOINTS:
                way = [((one, other), layer) for layer in range(begin + 1, end)]
            self.ways[one, other] = way
            for point in way:
                self._layers[point[1]].append(point)
            for here, there in pairwise([(one, begin), *way, (other, end)]):
                self._after.setdefault(here, []).append(there)
                self._before.setdefault(there, []).append(here)

    def order(self) -> None:
        """Sort each layer by the mean place of what its members are tied to, to and fro; keep what crosses least."""
        best, fewest = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(_SWEEPS):
            if fewest == 0:
                break
            forth = sweep % 2 == 0
            ties = self._before if forth else self._after
            for number in range(len(self._layers)) if forth else reversed(range(len(self._layers))):
                beside = number - 1 if forth else number + 1
                if 0 <= beside < len(self._layers):
                    self._sort(number, beside, ties)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self._layers], crossings
        self._layers = best

    def _sort(self, number: int, beside: int, ties: Mapping[_Point, Sequence[_Point]]) -> None:
        at = {point: place for place, point in enumerate(self._layers[beside])}
        keys = {}
        for place, point in enumerate(self._layers[number]):
            tied = [at[other] for other in ties.get(point, ()) if other in at]
            keys[point] = sum(tied) / len(tied) if tied else float(place)
        self._layers[number].sort(key=keys.__getitem__)

    def _crossings(self) -> int:
        """Return how often arrows cross between neighbouring layers."""
        total = 0
        for left, right in pairwise(self._layers):
            at = {point: place for place, point in enumerate(right)}
            ends = [
                end
                for point in left
                for end in sorted(at[other] for other in self._after.get(point, ()) if other in at)
            ]
            total += _inversions(ends)
        return total

    def heights(self, height: float, gap: float) -> dict[_Point, float]:
        """Return the upper edges of boxes and waypoints: near what they are tied to, in order, and apart."""
        heights = {point: place * (height + gap) for layer in self._layers for place, point in enumerate(layer)}
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            ties = self._before if forth else self._after
            for layer in self._layers if forth else reversed(self._layers):
                wanted = []
                for point in layer:
                    tied = [heights[other] for other in ties.get(point, ())]
                    wanted.append(sum(tied) / len(tied) if tied else heights[point])
                apart = [0.0]
                for one, other in pairwise(layer):
                    boxes = (one in self._boxes) + (other in self._boxes)
                    apart.append(apart[-1] + boxes * height / 2 + gap)
                level = _isotonic([place - shift for place, shift in zip(wanted, apart, strict=True)] if layer else [])
                heights.update((point, place + shift) for point, place, shift in zip(layer, level, apart, strict=False))
        return heights


def _inversions(values: Sequence[int]) -> int:
    """Return how many pairs stand in the wrong order (by a Fenwick tree)."""
    size = max(values, default=-1) + 1
    tree = [0] * (size + 1)
    found = 0
    for seen, value in enumerate(values):
        not_above, at = 0, value + 1
        while at > 0:
            not_above += tree[at]
            at -= at & -at
        found += seen - not_above
        at = value + 1
        while at <= size:
            tree[at] += 1
            at += at & -at
    return found


def _isotonic(values: Sequence[float]) -> list[float]:
    """Return the rising sequence that is nearest to this one, by least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            other, others = blocks.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        blocks.append((mean, count))
    return [mean for mean, count in blocks for _ in range(count)]
