"""Where submitted tasks run: in a pool of threads, or one after another in the caller's own."""

from entrepot.task_runners.sequential import SequentialTaskRunner
from entrepot.task_runners.threads import ConcurrentTaskRunner, ThreadPoolTaskRunner

__all__ = ["ConcurrentTaskRunner", "SequentialTaskRunner", "ThreadPoolTaskRunner"]
