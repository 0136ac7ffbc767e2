"""Where boxes and arrows go: whatever the graph, boxes stand apart, and arrows point to the right."""

import time
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.cli.graph.axis import ticks
from entrepot.cli.graph.layout import Layout, laid_out

from .test_cli_runs import START

WIDTH, HEIGHT, GAP, APART = 100.0, 40.0, 50.0, 10.0

graphs = st.integers(1, 14).flatmap(
    lambda size: st.tuples(
        st.just([f"n{number}" for number in range(size)]),
        st.lists(
            st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(
                lambda ends: (f"n{ends[0]}", f"n{ends[1]}")
            ),
            max_size=30,
        ),
    )
)


def lay_out(nodes: list[str], arrows: list[tuple[str, str]]) -> Layout:
    return laid_out(nodes, arrows, size=(WIDTH, HEIGHT), gaps=(GAP, APART))


@given(graph=graphs)
def test_boxes_stand_apart_and_inside_the_picture(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    layout = lay_out(*graph)
    assert set(layout.places) == set(graph[0])
    for one, other in combinations(layout.places.values(), 2):
        beside = abs(one.x - other.x) >= WIDTH + GAP - 1e-6
        below = abs(one.y - other.y) >= HEIGHT + APART - 1e-6
        assert beside or below
    for place in layout.places.values():
        assert 0 <= place.x <= layout.width - WIDTH + 1e-6
        assert -1e-6 <= place.y <= layout.height - HEIGHT + 1e-6


@given(graph=graphs)
def test_without_circles_every_arrow_points_to_the_right(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, arrows = graph
    arrows = [(min(ends, key=nodes.index), max(ends, key=nodes.index)) for ends in arrows]
    layout = lay_out(nodes, arrows)
    assert {(route.source, route.target) for route in layout.routes} == {ends for ends in arrows if ends[0] != ends[1]}
    for route in layout.routes:
        assert not route.backwards
        way = [layout.places[route.source].x + WIDTH, *[x for x, _ in route.through], layout.places[route.target].x]
        assert way == sorted(way)
        assert len(route.through) == 2 * (layout.places[route.target].layer - layout.places[route.source].layer - 1)


@given(graph=graphs)
def test_with_circles_every_arrow_is_there_and_few_are_turned(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, arrows = graph
    layout = lay_out(nodes, arrows)
    wanted = {ends for ends in arrows if ends[0] != ends[1]}
    assert {(route.source, route.target) for route in layout.routes} == wanted
    for route in layout.routes:
        source, target = layout.places[route.source], layout.places[route.target]
        assert (source.layer < target.layer) != route.backwards


@given(graph=graphs)
def test_arrows_go_round_boxes(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    layout = lay_out(*graph)
    for route in layout.routes:
        for (x, y), (other_x, other_y) in zip(route.through[::2], route.through[1::2], strict=True):
            assert y == other_y
            left = min(x, other_x)
            for place in layout.places.values():
                inside = abs(place.x - left) < WIDTH and place.y < y < place.y + HEIGHT
                assert not inside


def test_a_diamond_looks_like_one() -> None:
    layout = lay_out(["a", "b", "c", "d"], [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    places = layout.places
    assert [places[name].layer for name in "abcd"] == [0, 1, 1, 2]
    assert places["a"].y == places["d"].y == pytest.approx((places["b"].y + places["c"].y) / 2)


def test_arrows_that_can_be_untangled_are() -> None:
    layout = lay_out(["a", "b", "c", "d"], [("a", "d"), ("b", "c")])
    assert (layout.places["a"].y < layout.places["b"].y) == (layout.places["d"].y < layout.places["c"].y)


def test_what_needs_nothing_stands_next_to_what_needs_it() -> None:
    layout = lay_out(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")])
    assert layout.places["late"].layer == 1


def test_nothing_is_laid_out_as_nothing() -> None:
    assert lay_out([], [("a", "b")]) == Layout({}, [], 0.0, 0.0)


def test_a_large_dense_graph_does_not_hang() -> None:
    nodes = [f"n{number}" for number in range(150)]
    arrows = [(one, other) for one, other in combinations(nodes, 2)] + [(nodes[-1], nodes[0])]
    start = time.monotonic()
    layout = lay_out(nodes, arrows)
    assert time.monotonic() - start < 60  # seconds; minutes if every arrow were led around every box
    assert len(layout.routes) == len(arrows)


@given(length=st.floats(1e-3, 1e8), most=st.integers(2, 12))
def test_ticks_are_few_and_evenly_spaced(length: float, most: int) -> None:
    found = ticks(START, length, most=most)
    assert 1 <= len(found) <= most + 1
    assert found[0].seconds == 0
    assert all(tick.seconds <= length * (1 + 1e-6) for tick in found)
    assert len({tick.past for tick in found}) == len(found)


@pytest.mark.parametrize(
    ("length", "past", "clock"),
    [
        (0.03, ["0", "5 ms", "10 ms"], ["03:04:05.000", "03:04:05.005", "03:04:05.010"]),
        (0.0012, ["0", "0.2 ms", "0.4 ms"], ["03:04:05.0000", "03:04:05.0002", "03:04:05.0004"]),
        (4, ["0", "500 ms", "1.0 s", "1.5 s"], ["03:04:05.0", "03:04:05.5", "03:04:06.0"]),
        (44, ["0", "10 s", "20 s"], ["03:04:05", "03:04:15"]),
        (700, ["0", "2 min", "4 min"], ["03:04", "03:06"]),
        (200, ["0", "30 s", "1 min", "1 min 30 s"], ["03:04:05", "03:04:35"]),
        (80_000, ["0", "3 h", "6 h"], ["01-02 03:04", "01-02 06:04"]),
        (900_000, ["0", "2 d", "4 d"], ["2026-01-02", "2026-01-04"]),
    ],
)
def test_ticks_are_read_by_people(
    length: float, past: list[str], clock: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    found = ticks(START, length)
    assert [tick.past for tick in found][: len(past)] == past
    assert [tick.clock for tick in found][: len(clock)] == clock
