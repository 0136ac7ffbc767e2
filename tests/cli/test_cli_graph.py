"""`entrepot runs graph`: pictures that are whole, safe to open, and of a size that does not grow with the runs."""

import stat
import webbrowser
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from entrepot.protocols.recorder import RunCreated, RunEvent, RunTransition
from entrepot.runs import LocalRecorder

from .conftest import Invoke
from .test_cli_runs import at, entered

SVG = "{http://www.w3.org/2000/svg}"
FLOW = "aaaaaaaa-0000"
NASTY = "<script>alert('x')</script>\"&]]>\x00\x1b[2J\u202e\ud800\r\n"


def record(home: Path, events: list[RunEvent]) -> None:
    recorder = LocalRecorder(home / "runs.db", limit=1_000_000)
    for event in events:
        recorder.record(event)
    assert recorder.flush()
    recorder.close()


def task(
    run_id: str, definition: str, start: float, end: str = "Completed", *, up: tuple[str, ...] = ()
) -> list[RunEvent]:
    return [
        RunCreated(run_id, "task", run_id, definition, "k", at(start), FLOW, FLOW, upstream=up),
        entered(run_id, start + 1, "Running"),
        entered(run_id, start + 3, end, message="ValueError: no" if end == "Failed" else ""),
    ]


@pytest.fixture
def story(entrepot_home: Path) -> None:
    """A flow with a failure, a retry, a cached run, a subflow and 40 mapped runs."""
    events: list[RunEvent] = [
        RunCreated(FLOW, "flow", "brave-otter", "etl", "k", at(0)),
        entered(FLOW, 1, "Running"),
        RunCreated("cached-1", "task", "cached-1", "cached", "k", at(1), FLOW, FLOW),
        RunTransition("c", "cached-1", 1, "COMPLETED", "Cached", at(2)),
        RunCreated("retried-1", "task", "retried-1", "retried", "k", at(1), FLOW, FLOW, upstream=("cached-1",)),
        entered("retried-1", 2, "Running"),
        RunTransition("r", "retried-1", 1, "SCHEDULED", "AwaitingRetry", at(3)),
        entered("retried-1", 8, "Running", 2),
        entered("retried-1", 9, "Completed", 2),
        *[
            event
            for number in range(40)
            for event in task(f"many-{number}", "many", 10 + number / 10, up=("retried-1",))
        ],
        *task("bad-1", "bad", 20, "Failed", up=("many-3",)),
        RunCreated("sub", "flow", "calm-fox", "inner", "k", at(24), FLOW, FLOW, upstream=("many-1",)),
        entered("sub", 24, "Running"),
        entered("sub", 26, "Completed"),
        entered(FLOW, 30, "Failed", message="1 of 4 failed"),
    ]
    record(entrepot_home, events)


def words(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


class TestThePicture:
    @pytest.fixture
    def root(self, invoke: Invoke, story: None) -> ET.Element:
        return ET.fromstring(invoke("runs", "graph", "brave-otter", "--output", "-").stdout)

    def test_it_says_what_ran_and_how_it_went(self, root: ET.Element) -> None:
        assert root.find(f"{SVG}title").text == "etl · brave-otter"  # type: ignore[union-attr]
        described = root.find(f"{SVG}desc").text or ""  # type: ignore[union-attr]
        assert "Failed" in described
        assert "failed: bad-1" in described
        shown = words(root)
        assert shown[0] == "etl"
        assert "1 of 4 failed" in shown
        assert any("43 task runs: 41 completed, 1 cached, 1 failed" in text for text in shown)

    def test_every_run_or_group_has_a_row(self, root: ET.Element) -> None:
        rows = [row for row in root.iter(f"{SVG}g") if row.get("class") == "row"]
        assert [next(row.iter(f"{SVG}text")).text for row in rows] == [
            "etl · brave-otter",
            "cached-1",
            "retried-1",
            "many × 40",  # noqa: RUF001  it says times
            "bad-1",
            "inner · calm-fox",
        ]
        (bad,) = [row for row in rows if "bad-1" in words(row)]
        assert "ValueError: no" in (bad.find(f"{SVG}title").text or "")  # type: ignore[union-attr]
        assert bad.find(f"{SVG}rect[@class='failed']") is not None

    def test_waiting_and_lost_attempts_are_told_apart(self, root: ET.Element) -> None:
        (row,) = [row for row in root.iter(f"{SVG}g") if row.get("class") == "row" and "retried-1" in words(row)]
        marks = [element.get("class") for element in row if element.tag in {f"{SVG}rect", f"{SVG}path"}]
        assert [mark for mark in marks if mark not in {"stripe", "page", "grid", "tree"}] == [
            "edge-pending",
            "lost",
            "edge-retry",
            "completed",
        ]

    def test_arrows_lead_from_results_to_who_took_them(self, root: ET.Element) -> None:
        titles = [element.text for element in root.iter(f"{SVG}title")]
        assert "40 results" in titles
        assert titles.count("1 result") == 3
        assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "arrow"]) == 4

    def test_it_needs_nothing_from_elsewhere_and_runs_nothing(self, root: ET.Element) -> None:
        for element in root.iter():
            assert element.tag.removeprefix(SVG) in {"svg", "title", "desc", "style", "g", "rect", "path", "text"}
            assert not any("href" in name or name.startswith("on") for name in element.attrib)
        style = next(root.iter(f"{SVG}style")).text or ""
        assert "url(" not in style
        assert "@import" not in style
        assert "prefers-color-scheme:dark" in style

    def test_the_numbers_are_numbers(self, root: ET.Element) -> None:
        for element in root.iter(f"{SVG}rect"):
            for name in ("x", "y", "width", "height"):
                assert float(element.get(name, "0")) >= -8


def test_without_arrows_it_says_so(invoke: Invoke, entrepot_home: Path) -> None:
    record(entrepot_home, [RunCreated(FLOW, "flow", "brave-otter", "etl", "k", at(0)), *task("a", "a", 1)])
    text = invoke("runs", "graph", "brave-otter", "-o", "-").stdout
    assert "No run took the result" in text


def test_nothing_that_a_run_says_leaves_its_place(invoke: Invoke, entrepot_home: Path) -> None:
    events: list[RunEvent] = [
        RunCreated(FLOW, "flow", NASTY, NASTY, "k", at(0), tags=(NASTY,)),
        entered(FLOW, 1, "Running"),
        RunCreated("t", "task", NASTY, NASTY, "k", at(1), FLOW, FLOW),
        RunTransition("x", "t", 1, "FAILED", NASTY.replace("\ud800", ""), at(2), NASTY),
        RunCreated("u", "task", NASTY, NASTY, "k", at(1), FLOW, FLOW, upstream=("t",)),
        RunTransition("y", FLOW, 1, "FAILED", NASTY.replace("\ud800", ""), at(2), NASTY),
    ]
    record(entrepot_home, events)
    text = invoke("runs", "graph", FLOW, "-o", "-").stdout
    root = ET.fromstring(text)
    assert "<script" not in text
    assert not set(text) & {chr(number) for number in range(32) if chr(number) != "\n"}
    assert "\u202e" not in text
    assert "<script>alert('x')</script>" in (root.find(f"{SVG}title").text or "")  # type: ignore[union-attr]
    assert all(element.tag.startswith(SVG) for element in root.iter())


def test_ten_thousand_tasks_make_a_picture_of_bounded_size(invoke: Invoke, entrepot_home: Path) -> None:
    events: list[RunEvent] = [RunCreated(FLOW, "flow", "brave-otter", "etl", "k", at(0)), entered(FLOW, 0, "Running")]
    for number in range(10_000):
        run_id = f"t{number}"
        up = (f"t{number - 1}",) if number else ()
        events.append(RunCreated(run_id, "task", run_id, f"task-{number}", "k", at(1), FLOW, FLOW, upstream=up))
        events.append(entered(run_id, 2, "Failed" if number == 9_000 else "Completed"))
    record(entrepot_home, events)
    text = invoke("runs", "graph", "brave-otter", "-o", "-").stdout
    assert len(text) < 1_000_000
    shown = words(ET.fromstring(text))
    assert "t9000" in shown  # what failed is not left out
    assert "... and 9,601 more runs" in shown
    assert "... and 9,850 more" in shown


class TestTheFile:
    def test_it_is_called_like_the_run(
        self, invoke: Invoke, story: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = invoke("runs", "graph", "brave-otter")
        assert found.stdout == ""
        assert found.stderr == "brave-otter.svg shows brave-otter\n"
        assert ET.parse(tmp_path / "brave-otter.svg").getroot().tag == f"{SVG}svg"
        assert stat.S_IMODE((tmp_path / "brave-otter.svg").stat().st_mode) & 0o400

    def test_an_odd_name_is_no_path(
        self, invoke: Invoke, entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for run_id, name in (("11111111-a", "../up and/away"), ("22222222-b", "..."), ("33333333-c", "-rf")):
            record(entrepot_home, [RunCreated(run_id, "flow", name, "etl", "k", at(0))])
            invoke("runs", "graph", run_id)
        assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["22222222.svg", "rf.svg", "up-and-away.svg"]

    def test_a_picture_of_the_same_run_is_replaced(self, invoke: Invoke, story: None, tmp_path: Path) -> None:
        path = tmp_path / "x.svg"
        for _ in range(2):
            invoke("runs", "graph", "brave-otter", "--output", str(path))
        assert "brave-otter" in path.read_text()

    def test_another_file_is_replaced_only_by_force(self, invoke: Invoke, story: None, tmp_path: Path) -> None:
        path = tmp_path / "x.svg"
        invoke("runs", "graph", "sub", "--output", str(path))
        before = path.read_bytes()
        found = invoke("runs", "graph", "brave-otter", "--output", str(path), exit_code=1)
        assert "use --force" in found.stderr
        assert path.read_bytes() == before
        invoke("runs", "graph", "brave-otter", "--output", str(path), "--force")
        assert path.read_bytes() != before

    @pytest.mark.parametrize("where", ["no-folder/x.svg", "."])
    def test_a_place_that_cannot_be_is_one_clear_error(
        self, where: str, invoke: Invoke, story: None, tmp_path: Path
    ) -> None:
        found = invoke("runs", "graph", "brave-otter", "--output", str(tmp_path / where), exit_code=1)
        assert "cannot be written" in found.stderr

    def test_it_is_opened_on_request(
        self, invoke: Invoke, story: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) == 1)
        path = tmp_path / "x y.svg"
        assert "no browser" not in invoke("runs", "graph", "brave-otter", "-o", str(path), "--open").stderr
        assert opened == [path.as_uri()]
        assert "no browser was found" in invoke("runs", "graph", "brave-otter", "-o", str(path), "--open").stderr
        assert "--open shows a file" in invoke("runs", "graph", "x", "--open", "--json", exit_code=1).stderr

    def test_a_run_that_is_not_there_is_one_clear_error(self, invoke: Invoke, story: None) -> None:
        assert "near: brave-otter" in invoke("runs", "graph", "brave-oter", exit_code=1).stderr


def test_for_programs(invoke: Invoke, story: None) -> None:
    data = invoke("runs", "graph", "brave-otter", "--json").data
    assert list(data) == ["run_id", "name", "definition", "until", "nodes", "edges"]
    assert data["until"] == (at(0) + timedelta(seconds=30)).isoformat()
    assert [node["id"] for node in data["nodes"]] == [
        FLOW,
        "cached-1",
        "retried-1",
        "group-1",
        "bad-1",
        "sub",
    ]
    assert data["nodes"][3]["states"] == [{"state_type": "COMPLETED", "state_name": "Completed", "runs": 40}]
    assert data["nodes"][4]["spans"][1] == {
        "kind": "running",
        "start": at(21).isoformat(),
        "end": at(23).isoformat(),
        "attempt": 1,
        "outcome": "FAILED",
    }
    assert {"source": "retried-1", "target": "group-1", "times": 40} in data["edges"]
    assert len(invoke("runs", "graph", "brave-otter", "--json", "--fold", "50").data["nodes"]) == 45
