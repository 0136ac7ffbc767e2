"""Flow runs that wait for people: pausing and suspending from inside, answering from outside.

@flow
def release(version: str) -> None:
build(version)
if pause_flow_run(wait_for_input=Approval).ok:
publish(version)
"""

from entrepot.flow_runs.answering import aresume_flow_run, resume_flow_run
from entrepot.flow_runs.pausing import apause_flow_run, asuspend_flow_run, pause_flow_run, suspend_flow_run

__all__ = [
    "apause_flow_run",
    "aresume_flow_run",
    "asuspend_flow_run",
    "pause_flow_run",
    "resume_flow_run",
    "suspend_flow_run",
]
