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


def test_so_it_can_where_a_struck_thread_ended_first_and_its_task_timed_out() -> None:
    code = (
        "import sys, threading, time\n"
        "from entrepot import flow, task\n"
        "from entrepot._strikes import raise_in\n"
        "from entrepot._stops import StopRun\n"
        "stuck = task(lambda: time.sleep(1.5), name='stuck', timeout_seconds=0.1)\n"
        "flow(lambda: stuck.submit().wait())()\n"
        "for _ in range(20):\n"
        "    thread = threading.Thread(target=time.sleep, args=(0.01,))\n"
        "    thread.start()\n"
        "    raise_in(thread.ident, StopRun)\n"
        "    thread.join()\n"
        "stuck(return_state=True)\n"
        "time.sleep(3)\n"
        "def work():\n"
        "    return sum(range(10))\n"
        "sys.settrace(lambda frame, event, arg: lambda *_: None)\n"
        "print(work())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "45\n", ran.stderr


def test_so_it_can_while_a_thread_that_was_struck_is_stuck() -> None:
    code = (
        "import os, sys, threading, time\n"
        "from entrepot import flow, task\n"
        "lock = threading.Lock()\n"
        "lock.acquire()\n"
        "stuck = task(lambda: lock.acquire(), name='stuck', timeout_seconds=0.1)\n"
        "flow(lambda: stuck.submit().wait())()\n"
        "time.sleep(0.5)\n"
        "def work():\n"
        "    return sum(range(10))\n"
        "sys.settrace(lambda frame, event, arg: lambda *_: None)\n"
        "for _ in range(30):\n"
        "    work()\n"
        "    time.sleep(0.1)\n"
        "print(work(), flush=True)\n"
        "os._exit(0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "45\n", ran.stderr
