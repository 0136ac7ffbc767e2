"""Where submitted tasks run: in threads, in processes, or one after another in the caller's own thread."""

from entrepot.protocols.task_runner import TaskRunner
from entrepot.task_runners.processes import ProcessPoolTaskRunner
from entrepot.task_runners.sequential import SequentialTaskRunner
from entrepot.task_runners.threads import ConcurrentTaskRunner, ThreadPoolTaskRunner

__all__ = [
    "ConcurrentTaskRunner",
    "ProcessPoolTaskRunner",
    "SequentialTaskRunner",
    "TaskRunner",
    "ThreadPoolTaskRunner",
]
