"""What a code base uses of Prefect, found by reading it."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from entrepot.compat.check import Place, Report, check
from entrepot.compat.report import as_json, as_lines


def used(source: str, folder: Path) -> dict[str, tuple[str, int]]:
    """Return what a source uses: status and first line, by name."""
    file = folder / "used.py"
    file.write_text(dedent(source), encoding="utf-8")
    return {use.verdict.name: (use.verdict.status, use.places[0].line) for use in check([file]).uses}


def test_imports_of_every_form(tmp_path: Path) -> None:
    source = """\
        import os, prefect
        import prefect.states as states
        import prefect.server.api.server
        import prefect_aws.s3
        from prefect import flow as make_flow, serve
        from prefect.tasks import exponential_backof
        from prefect.runtime import flow_run
        from prefect_dask import DaskTaskRunner
        from prefect.cache_policies import *
        from .prefect import nothing
        from prefects import nothing
        from prefect_flows.mine import nothing
        """
    assert used(source, tmp_path) == {
        "prefect.server.api": ("absent", 3),
        "prefect_aws": ("absent", 4),
        "prefect.flow": ("same", 5),
        "prefect.serve": ("absent", 5),
        "prefect.tasks.exponential_backof": ("unknown", 6),
        "prefect.runtime.flow_run": ("same", 7),
        "prefect_dask": ("absent", 8),
        "prefect.cache_policies.*": ("different", 9),
    }


def test_attributes_of_modules_and_what_is_imported_inside_functions(tmp_path: Path) -> None:
    source = """\
        import prefect
        import prefect.states as states

        def late():
            from prefect.runtime import flow_run
            print(flow_run.id, flow_run.api_url)
            states.Completed(message="x").name
            prefect.context.get_run_context().start_time
            prefect.get_client
            os.prefect.serve
            self.flow_run.nothing
        """
    assert used(source, tmp_path) == {
        "prefect.runtime.flow_run": ("same", 5),
        "prefect.runtime.flow_run.id": ("same", 6),
        "prefect.runtime.flow_run.api_url": ("different", 6),
        "prefect.states.Completed": ("same", 7),
        "prefect.context.get_run_context": ("same", 8),
        "prefect.get_client": ("absent", 9),
    }


def test_options_and_methods_that_are_not_the_same(tmp_path: Path) -> None:
    source = """\
        import prefect
        from prefect import flow, task

        @flow(name="a", cache_result_in_memory=False)
        async def a(): ...

        @prefect.flow
        def b(): ...

        @task(retries=3, persist_results=True)
        def c(): ...

        a.serve(); b.to_deployment.x(); c.delay(); c.submit(); a.name
        c.with_options(asset_deps=[], retries=2)
        flow.from_source("x")
        other.serve()
        """
    found = used(source, tmp_path)
    assert found.pop("prefect.flow") == ("same", 2)
    assert found.pop("prefect.task") == ("same", 2)
    assert found == {
        "prefect.flow(cache_result_in_memory=)": ("absent", 4),
        "prefect.task(persist_results=)": ("unknown", 10),
        "prefect.flows.Flow.serve": ("absent", 13),
        "prefect.flows.Flow.to_deployment": ("absent", 13),
        "prefect.tasks.Task.delay": ("absent", 13),
        "prefect.task(asset_deps=)": ("absent", 14),
        "prefect.flows.Flow.from_source": ("absent", 15),
    }


def test_variables_are_told_beside(tmp_path: Path) -> None:
    (tmp_path / "v.py").write_text("import os\nos.environ['PREFECT_LOGGING_LEVEL'], 'PREFECT_API_URL', 'PREFECT x'\n")
    report = check([tmp_path])
    assert report.uses == ()
    assert [(use.verdict.name, use.verdict.ours) for use in report.variables] == [
        ("PREFECT_API_URL", ""),
        ("PREFECT_LOGGING_LEVEL", "ENTREPOT_LOGGING_LEVEL"),
    ]
    assert report.fits


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "flows/etl.py": "from prefect import flow, serve\n",
        "flows/deep/more.py": "from prefect import flow\nfrom prefect.states import State\n",
        "flows/latin.py": "# -*- coding: latin-1 -*-\nname = 'caf\xe9'\nfrom prefect import task\n",
        "broken.py": "def f(:\n",
        "notes.ipynb": "{}",
        "readme.txt": "from prefect import nothing",
        ".hidden/a.py": "from prefect import nothing\n",
        "env/pyvenv.cfg": "",
        "env/lib/b.py": "from prefect import nothing\n",
        "__pycache__/c.py": "from prefect import nothing\n",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="latin-1" if "latin" in name else "utf-8")
    return tmp_path


def test_folders_are_walked_and_files_of_others_passed_by(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    report = check(["."])
    assert (report.files, report.notebooks) == (4, 1)
    assert [(use.verdict.status, use.verdict.name) for use in report.uses] == [
        ("absent", "prefect.serve"),
        ("different", "prefect.states.State"),
        ("same", "prefect.flow"),
        ("same", "prefect.task"),
    ]
    assert report.uses[2].places == (Place("./flows/deep/more.py", 1), Place("./flows/etl.py", 1))
    assert list(report.unreadable) == ["./broken.py"]
    assert report.unreadable["./broken.py"].startswith("SyntaxError")
    assert not report.fits


def test_a_path_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither a file nor a folder"):
        check([tmp_path / "nothing"])


def test_lines_for_people(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    lines = list(as_lines(check(["flows", "broken.py"])))
    assert lines[:2] == [
        "absent     prefect.serve   flows/etl.py:1",
        "             it deploys, schedules or serves flows; comes with deployments and workers",
    ]
    assert "same       prefect.flow -> entrepot.flow   flows/deep/more.py:1, flows/etl.py:1" in lines
    assert lines[-2] == "4 names of Prefect in 4 files: 2 same, 1 different, 1 absent"
    assert next(as_lines(Report(1, ()))) == "0 names of Prefect in 1 file"


def test_names_of_files_do_not_control_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "evil\x1b[2J.py"
    file.write_text("from prefect import flow\n", encoding="utf-8")
    assert not any("\x1b" in line for line in as_lines(check([file])))


def test_json_for_programs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    found = json.loads("\n".join(as_json(check(["flows"]))))
    assert (found["files"], found["fits"], found["versions"]) == (3, False, ["2.20.27", "3.7.2"])
    assert found["counts"] == {"same": 2, "different": 1, "absent": 1, "unknown": 0}
    assert found["names"][2] == {
        "name": "prefect.flow",
        "status": "same",
        "ours": "entrepot.flow",
        "note": None,
        "places": [{"file": "flows/deep/more.py", "line": 1}, {"file": "flows/etl.py", "line": 1}],
    }


@pytest.mark.parametrize("command", [["-m", "entrepot.compat", "--check"], ["-m", "entrepot", "compat"]])
def test_the_commands(project: Path, command: list[str]) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command, *arguments], cwd=project, capture_output=True, text=True, timeout=60, check=False
        )

    ran = run("flows")
    assert ran.returncode == 1, ran.stderr
    assert "\n4 names of Prefect in 3 files: " in ran.stdout
    assert run("flows/deep").returncode == 0
    assert json.loads(run("--json", "flows").stdout)["files"] == 3
    for wrong in ([], ["nothing"]):
        ran = run(*wrong)
        assert ran.returncode == 2
        assert ran.stderr


def test_a_check_runs_nothing_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "harmful.py").write_text("from prefect import flow\nraise SystemExit(9)\n", encoding="utf-8")
    assert check([tmp_path]).fits
