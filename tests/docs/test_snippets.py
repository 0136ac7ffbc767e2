"""Every Python snippet of the README and of docs/ runs, and every command that they show exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_python

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^ {4}(?:\$ )?(entrepot(?: [a-z-]+(?=\s|$)){1,2})", re.MULTILINE)


def found(pattern: re.Pattern[str]) -> list[object]:
    """Return what a pattern finds in all pages, as test parameters."""
    return [
        pytest.param(match, id=f"{page.relative_to(ROOT)}:{number}")
        for page in PAGES
        for number, match in enumerate(pattern.findall(page.read_text(encoding="utf-8")))
    ]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


# Arrow's threads give back what they read by after the read itself. One that needs Python when that has ended, ends the
# process with "terminate called without an active exception": seen once in some hundred runs, on Python 3.13.
# So such a script ends without Python's own end, which is none of what it shows.
AT_ONCE = "\n\nimport os, sys\n\nsys.stdout.flush(), sys.stderr.flush(), os._exit(0)\n"


@pytest.mark.parametrize("source", found(SNIPPET))
def test_the_snippet_runs(source: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(source + (AT_ONCE if "parquet" in source else ""), encoding="utf-8")
    ran = run(script, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("command", found(COMMAND))
def test_the_command_exists(command: str, tmp_path: Path) -> None:
    ran = run("-m", *command.split(), "--help", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert command in ran.stdout


def test_the_readme_flow_computes_nothing_the_second_time(tmp_path: Path) -> None:
    flow = SNIPPET.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    script = tmp_path / "weather.py"
    script.write_text(flow, encoding="utf-8")
    first, second = run(script, cwd=tmp_path), run(script, cwd=tmp_path)
    assert first.stdout == second.stdout != ""
    assert "Cached" not in first.stderr
    assert second.stderr.count("Cached") == 2, second.stderr
