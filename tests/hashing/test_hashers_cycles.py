"""Structures that contain themselves count by their shape: equal graphs agree, whatever they are built from."""

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import hasher
from entrepot.hashing.values import hash_value

KINDS = ("list", "dict", "node", "handle")


@dataclasses.dataclass(eq=False)
class Node:
    label: int
    links: list[Any] = dataclasses.field(default_factory=list)


class Handle:
    def __init__(self, label: int) -> None:
        self.label = label
        self.links: list[Any] = []


@hasher(Handle)
def handle(value: Handle) -> object:
    return value.label, value.links


def build(kinds: list[str], edges: list[tuple[int, int]], labels: list[int], *, reverse: bool) -> Any:
    """Return the first node of a graph; `reverse` fills dicts the other way round."""
    count = len(kinds)
    make = {"list": lambda label: [label], "dict": lambda _: {}, "node": Node, "handle": Handle}
    things: list[Any] = [make[kind](label) for kind, label in zip(kinds, labels, strict=False)]
    links: list[list[Any]] = [[] for _ in kinds]
    for start, end in edges:
        links[start % count].append(things[end % count])
    for n, thing in enumerate(things):
        if isinstance(thing, list):
            thing.extend(links[n])
        elif isinstance(thing, dict):
            items = [("label", labels[n]), *((str(k), link) for k, link in enumerate(links[n]))]
            thing.update(reversed(items) if reverse else items)
        else:
            thing.links.extend(links[n])
    return things[0]


graphs = st.tuples(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(graphs)
def test_graphs_of_one_shape_agree(graph):
    kinds, edges = graph
    labels = list(range(4))
    one, two = (build(kinds, edges, labels, reverse=reverse) for reverse in (False, True))
    assert hash_value(one) == hash_value(two)
    assert hash_value([one, one]) == hash_value([two, two])


@settings(max_examples=100, deadline=None)
@given(graphs)
def test_another_label_at_the_root_or_another_kind_of_root_is_another_value(graph):
    kinds, edges = graph
    one = hash_value(build(kinds, edges, [0, 1, 2, 3], reverse=False))
    assert one != hash_value(build(kinds, edges, [9, 1, 2, 3], reverse=False))
    other = KINDS[(KINDS.index(kinds[0]) + 1) % 4]
    assert one != hash_value(build([other, *kinds[1:]], edges, [0, 1, 2, 3], reverse=False))


def test_what_a_cycle_comes_back_to_counts():
    def ring(back: int) -> Node:
        nodes = [Node(0), Node(0), Node(0)]
        nodes[0].links.append(nodes[1])
        nodes[1].links.append(nodes[2])
        nodes[2].links.append(nodes[back])
        return nodes[0]

    assert len({hash_value(ring(back)) for back in range(3)}) == 3
