"""A history that is a list, checked against the rules of runs."""

from entrepot.protocols.recorder import RunCreated, RunEvent, RunTransition
from entrepot.runs.decide import Intent, Rejection, RunView, decide


class Journal:
    """A `Recorder` that keeps events, and fails a test whose engine says what the rules refuse."""

    def __init__(self) -> None:
        self.created: dict[str, RunCreated] = {}
        self.transitions: dict[str, list[RunTransition]] = {}
        self.flushes: list[int] = []
        self.notes: list[RunEvent] = []  # log lines, artifacts, heartbeats
        self.rejections: list[str] = []
        self._events = 0

    def record(self, event: RunEvent) -> None:
        if not isinstance(event, RunCreated | RunTransition):
            self.notes.append(event)
            return
        self._events += 1
        if isinstance(event, RunCreated):
            if event.run_id in self.created:
                self.rejections.append(f"{event.name} was created twice")
            self.created[event.run_id] = event
            self.transitions[event.run_id] = []
            return
        if event.run_id not in self.created:
            self.rejections.append(f"{event.state_name} of a run that was not created")
            return
        said = self.transitions[event.run_id]
        view = RunView(
            said[-1].epoch if said else 0, said[-1].state_type if said else None, {t.transition_id for t in said}
        )
        verdict = decide(view, Intent(event.transition_id, event.epoch, event.state_type))
        if isinstance(verdict, Rejection):
            self.rejections.append(f"{self.created[event.run_id].name}: {verdict.message}")
        said.append(event)

    def flush(self) -> bool:
        self.flushes.append(self._events)
        return True

    def close(self) -> None:
        """Nothing is open."""

    def run(self, name: str) -> RunCreated:
        """Return the one run with this name, or of the flow or task with this name."""
        (found,) = [run for run in self.created.values() if name in {run.name, run.definition}]
        return found

    def states(self, name: str) -> list[str]:
        """Return the names of the states that a run went through."""
        return [transition.state_name for transition in self.transitions[self.run(name).run_id]]

    def epochs(self, name: str) -> list[int]:
        """Return the attempt of each of them."""
        return [transition.epoch for transition in self.transitions[self.run(name).run_id]]
