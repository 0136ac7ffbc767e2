"""The list of `docs/threats.md` and the tests of this folder say the same."""

import re
from itertools import count
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent.parent / "docs" / "threats.md"


def made() -> set[tuple[int, str, str]]:
    """Return number, file and name of every attack that is a test."""
    found = {
        (int(match[2]), path.name, match[1])
        for path in FOLDER.glob("test_*.py")
        for match in re.finditer(r"^def (test_attack_(\d+)_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
    }
    assert found
    return found


def listed() -> list[tuple[int, str, list[str]]]:
    """Return the rows of the list: number, file, and names of tests."""
    rows = re.findall(r"^\| (\d+) \| .+ \| .+ \| `([\w.]+)`: (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [(int(number), file, re.findall(r"`(\w+)`", names)) for number, file, names in rows]


def test_every_attack_of_the_list_is_a_test_and_every_test_is_in_the_list() -> None:
    rows = {(number, file, name) for number, file, names in listed() for name in names}
    assert rows == made()


def test_the_list_is_numbered_without_gaps_and_long_enough() -> None:
    numbers = [number for number, _, _ in listed()]
    assert numbers == [number for number, _ in zip(count(1), numbers, strict=False)]
    assert len(numbers) >= 30
