"""What Python prints of an error that nothing catches has no known secret in it, and is as it always was else."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from entrepot import _uncaught
from entrepot._secrets import MASK

SECRET = "hunter2-correct-horse"
START = f"""
import sys, threading
from entrepot.blocks import Secret
secret = Secret(value="".join({list(SECRET)!r}))
"""


def ended(source: str, folder: Path, before: str = "") -> str:
    file = folder / "dies.py"
    file.write_text(before + START + source)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert SECRET not in done.stdout + done.stderr
    return done.stderr


def masked(text: str) -> str:
    return text.replace(SECRET, MASK)


class OddError(Exception):
    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def test_a_program_dies_with_the_secret_masked_and_all_else_as_it_was(tmp_path: Path) -> None:
    said = ended(
        "class Odd(KeyError): pass\n"
        "def work():\n    try:\n        raise OSError(5, secret.get())\n    except OSError as error:\n"
        "        error.add_note('note ' + secret.get())\n"
        "        raise Odd(f'boom with {secret.get()}') from error\nwork()\n",
        tmp_path,
    )
    assert f"Odd: 'boom with {MASK}'" in said
    assert f"OSError: [Errno 5] {MASK}" in said
    assert f"note {MASK}" in said
    assert "direct cause" in said
    assert "in work" in said


def test_threads_and_groups_too(tmp_path: Path) -> None:
    said = ended(
        "def work():\n    raise ExceptionGroup('g ' + secret.get(), [ValueError(secret.get()), TypeError('plain')])\n"
        "t = threading.Thread(target=work, name='worker-7')\nt.start()\nt.join()\n",
        tmp_path,
    )
    assert "Exception in thread worker-7" in said
    assert f"ExceptionGroup: g {MASK} (2 sub-exceptions)" in said
    assert f"ValueError: {MASK}" in said
    assert "TypeError: plain" in said


def test_the_hook_that_was_there_gets_a_stand_in_of_its_class(tmp_path: Path) -> None:
    said = ended(
        "raise KeyError(secret.get())\n",
        tmp_path,
        "import sys\ndef mine(kind, error, trace):\n"
        "    print('mine', kind.__name__, issubclass(kind, LookupError), error, trace is not None, file=sys.stderr)\n"
        "sys.excepthook = mine\n",
    )
    assert said == f"mine KeyError True '{MASK}' True\n"


def test_a_line_of_the_source_that_has_it_is_masked(tmp_path: Path) -> None:
    said = ended(f"raise ValueError('{SECRET}', 1)\n", tmp_path)
    assert f"raise ValueError('{MASK}', 1)" in said
    assert said.splitlines()[-1] == f"ValueError: ('{MASK}', 1)"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What hooks that were there before are given."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: found.append(error))
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_value))
    _uncaught.mask_uncaught(lambda text: masked(text) if SECRET in text else text)
    return found


def test_an_error_without_a_secret_is_handed_on_itself(told: list[Any]) -> None:
    errors = [ValueError("plain"), OddError("x", 3), KeyboardInterrupt()]
    for error in errors:
        sys.excepthook(type(error), error, None)
    thread = threading.Thread(target=lambda: (_ for _ in ()).throw(errors[0]))
    thread.start()
    thread.join()
    assert [id(each) for each in told] == [id(each) for each in [*errors, errors[0]]]


@pytest.mark.parametrize(
    "error",
    [
        OddError(f"x {SECRET}", 3),
        UnicodeDecodeError("utf-8", b"x", 0, 1, SECRET),
        OSError(2, SECRET, "file"),
        SyntaxError(SECRET, ("f", 1, 1, f"line {SECRET}", 1, 2)),
        KeyboardInterrupt(SECRET),
        BaseExceptionGroup(SECRET, [KeyboardInterrupt(), ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_class_has_a_stand_in_that_says_the_same(error: BaseException, told: list[Any]) -> None:
    sys.excepthook(type(error), error, None)
    (shown,) = told
    assert type(shown).__qualname__ == type(error).__qualname__
    assert str(shown) == masked(str(error))
    assert SECRET not in f"{shown!r} {shown.args}"
    assert isinstance(shown, Exception) is isinstance(error, Exception)


def test_an_error_that_leads_to_itself_ends(told: list[Any]) -> None:
    one, two = ValueError(SECRET), TypeError("two")
    one.__context__, two.__context__ = two, one
    sys.excepthook(ValueError, one, None)
    assert str(told[0]) == MASK
    group = ExceptionGroup("all", [one])
    two.__cause__ = group
    sys.excepthook(ExceptionGroup, group, None)
    assert str(told[1].exceptions[0].__context__) == "two"


def test_a_hook_that_cannot_use_the_stand_in_does_not_make_python_show_the_error(tmp_path: Path) -> None:
    said = ended(
        "class CodedError(Exception):\n    code = property(lambda self: self._code)\n"
        "error = CodedError(secret.get())\nerror._code = 3\nraise error\n",
        tmp_path,
        "import sys\nsys.excepthook = lambda kind, error, trace: print('mine', error.code, file=sys.stderr)\n",
    )
    assert "mine" not in said
    assert f"CodedError: {MASK}" in said
