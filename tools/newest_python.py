"""Print the path of the newest final CPython >= 3.11 on this machine: from PATH, and from pyenv's folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ASK = "import sys; v = sys.version_info; print(*v[:3], v[3] == 'final' and sys.implementation.name == 'cpython')"


def candidates() -> set[Path]:
    """Return every file that looks like an interpreter."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders += [version / "bin" for version in pyenv.glob("3.*")]
    found = {Path(sys.executable)}
    for folder in folders:
        if folder.is_dir():
            found |= {path for path in folder.iterdir() if re.fullmatch(r"python3(\.\d+)?", path.name)}
    return found


def version(python: Path) -> tuple[int, ...] | None:
    """Return the interpreter's version, or None where it does not run or is no final CPython."""
    try:
        ran = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    answer = ran.stdout.split()
    return tuple(map(int, answer[:3])) if answer[3:] == ["True"] else None


def main() -> None:
    """Print the newest one."""
    ranked = [(found, str(path)) for path in candidates() if (found := version(path)) and found >= OLDEST]
    print(max(ranked)[1])


if __name__ == "__main__":
    main()
