"""An exception that was taken back leaves nothing behind in the interpreter."""

import subprocess
import sys


def test_code_can_be_traced_after_a_stop_was_taken_back() -> None:
    code = (
        "import sys, threading\n"
        "from entrepot._stops import StopRun\n"
        "from entrepot._strikes import raise_in\n"
        "blocked = threading.Event()\n"
        "thread = threading.Thread(target=blocked.wait)\n"
        "thread.start()\n"
        "for _ in range(3):\n"
        "    raise_in(thread.ident, StopRun)\n"
        "    raise_in(thread.ident, None)\n"
        "blocked.set()\n"
        "thread.join()\n"
        "def work():\n"
        "    return sum(range(10))\n"
        "sys.settrace(lambda frame, event, arg: lambda *_: None)\n"
        "print(work())\n"
    )
    # Were the sign still up, a traced call would never begin.
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout) == (0, "45\n"), ran.stderr
