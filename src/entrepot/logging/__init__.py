"""Logs of runs: who speaks, how it looks in a terminal, what is kept of it, and which secrets are masked in it.

Lines of `get_run_logger()` and of the engine, of loggers below `entrepot`, of libraries that were attached and of
`print` where it is asked for go to the terminal and to the run history, where `entrepot runs logs` finds them.
"""

from entrepot._secrets import mask, mask_all, remember_secret
from entrepot.logging.attached import Attachment, attach_loggers
from entrepot.logging.history import HistoryHandler
from entrepot.logging.lines import mask_record
from entrepot.logging.loggers import (
    FLOW_RUNS,
    TASK_RUNS,
    RunLogger,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    get_run_logger,
    run_facts,
    speak_for,
    task_run_logger,
)
from entrepot.logging.prints import captured_prints
from entrepot.logging.setup import set_up_logging, show_logs
from entrepot.logging.terminal import TerminalFormatter, TerminalHandler

__all__ = [
    "FLOW_RUNS",
    "TASK_RUNS",
    "Attachment",
    "HistoryHandler",
    "RunLogger",
    "TerminalFormatter",
    "TerminalHandler",
    "attach_loggers",
    "captured_prints",
    "disable_run_logger",
    "flow_run_logger",
    "get_logger",
    "get_run_logger",
    "mask",
    "mask_all",
    "mask_record",
    "remember_secret",
    "run_facts",
    "set_up_logging",
    "show_logs",
    "speak_for",
    "task_run_logger",
]
