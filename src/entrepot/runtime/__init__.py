"""What code may know of the run that it is part of, read as attributes: `runtime.flow_run.name`, `runtime.task_run.id`.

Outside runs they are empty: None, `[]`, `{}`, 0. For tests, a variable of the environment stands in for each:
`ENTREPOT__RUNTIME__FLOW_RUN__NAME=nightly`.
"""

from entrepot.runtime import deployment, flow_run, task_run

__all__ = ["deployment", "flow_run", "task_run"]
