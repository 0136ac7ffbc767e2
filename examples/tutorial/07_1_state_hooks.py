"""Functions that are called when a run changes its state: for alerts, clean-up, notes."""

from entrepot import flow, task
from entrepot.states import State, Completed, Failed


# A hook gets the task (or flow), its run, and the state that the run has come to. What it returns does not matter, and
# what it raises is logged and changes nothing: the run ends as it would have ended.
def custom_state_handler(task, task_run, state: State):
    """Say that a task failed."""
    if state.is_failed():
        # A message to a chat or a pager would be sent here.
        print(f"Task {task.name} failed!")
    return state


# `on_failure` is called for failures only; there are `on_completion`, `on_running`, ... for the other transitions.
@task(on_failure=[custom_state_handler])
def risky_task():
    raise ValueError("Something went wrong")


# One alert for the whole flow: it fails when a task that it called fails.
@flow(on_failure=[lambda flow, flow_run, state: print("Flow failed!")])
def my_flow():
    risky_task()


if __name__ == "__main__":
    my_flow(return_state=True)  # the last state instead of the exception
