"""The other side of a pause: which flow runs wait, what for, and telling them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json

from entrepot.coordination import pauses
from entrepot.coordination.pauses import Pause
from entrepot.errors import InputError, NotResumableError, RunNotFoundError
from entrepot.flow_runs.sealing import seal_answer
from entrepot.input.checking import Problem, problems
from entrepot.input.question import PLAIN_FIELD
from entrepot.logging import get_logger
from entrepot.runs import RunHistory, RunSummary, default_path

__all__ = ["MAX_ANSWER", "Waiting", "answer", "form_of", "give", "waiting", "waiting_run"]

MAX_ANSWER: Final = 1 << 20
"""Bytes of JSON that an answer may have."""

_SHORTEST_PREFIX: Final = 4  # as of the ids of runs
_log = get_logger("flow_runs")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question that nobody has answered yet.

    Attributes:
        pause: The question.
        run: The flow run that asked last, as the history knows it; None where it does not.
    """

    pause: Pause
    run: RunSummary | None

    @property
    def name(self) -> str:
        """What the run is called."""
        return (self.run and self.run.name) or self.pause.run_id


def waiting() -> Sequence[Waiting]:
    """Return the questions that nobody has answered, of runs that have not ended otherwise, oldest first.

    Raises:
        StorageError: If they cannot be read.
        EntrepotError: If the history cannot be read.
    """
    history = RunHistory(default_path())
    asked = pauses.list_open()
    # A subflow that died while it waited may never ask again where the run that took over found its result.
    over = history.completed([pause.root_run_id for pause in asked])
    found = [Waiting(pause, _run(history, pause.run_id)) for pause in asked if pause.root_run_id not in over]
    return [one for one in found if one.run is None or one.run.state_type not in _OVER]


# A run that was ended from outside can be resumed, and asks again.
_OVER: Final = frozenset({"COMPLETED", "FAILED"})


def waiting_run(wanted: str, key: str | None = None) -> Waiting:
    """Return the question that a run waits for an answer to.

    Args:
        wanted: The run, or one around it: an id, the beginning of one (if no other begins so), or a name.
        key: Which of its questions; needed only where there are several.

    Raises:
        RunNotFoundError: If there is no such run.
        NotResumableError: If it waits for nothing, or its time is up.
        InputError: If there are several and no key says which, or none of this key.
    """
    everything = waiting()
    found = _of_run(everything, wanted)
    if not found:
        run = RunHistory(default_path()).get(wanted)
        ids = {run.run_id, run.root_run_id}
        found = [one for one in everything if one.pause.run_id == run.run_id]
        found = found or [one for one in everything if one.pause.root_run_id in ids]
        if not found:
            state = run.state_name or "not known"
            raise NotResumableError(
                f"flow run {run.name!r} waits for no answer; it is {state}; see `entrepot runs waiting`",
                run_id=run.run_id,
            )
    if key is not None or len(found) > 1:
        found = [one for one in found if one.pause.key == key] or _refuse_key(found, key)
    (one,) = found
    if one.pause.deadline is not None and one.pause.deadline < datetime.now(UTC):
        raise NotResumableError(
            f"flow run {one.name!r} waited for an answer until {one.pause.deadline}, and takes none any more; if its"
            f" process is gone, `entrepot runs resume {one.pause.run_id}` lets it ask again",
            run_id=one.pause.run_id,
        )
    return one


def form_of(pause: Pause) -> Mapping[str, Any] | None:
    """Return the schema of an answer; None where no more than a word is waited for.

    Raises:
        InputError: If what is stored is no schema.
    """
    if pause.schema is None:
        return None
    try:
        form = json.loads(pause.schema)
    except ValueError:
        form = None
    if not isinstance(form, dict) or not isinstance(form.get("properties"), dict):
        raise InputError(
            f"what {pause.key} of run {pause.run_id} waits for is not understood: it was altered in the file", field=""
        )
    return form


def answer(wanted: str, value: Any, key: str | None) -> None:
    """Answer a run with a value of Python; see `resume_flow_run`."""
    found = waiting_run(wanted, key)
    given = {} if value is None and found.pause.schema is not None else value
    try:
        said = json.loads(to_json(_bare(given)))
    except (PydanticSerializationError, RecursionError):
        raise InputError("the answer has something in it that JSON cannot say", field="") from None
    give(found.pause, said)
    _log.info("Answered %s of flow run %r", found.pause.key, found.name)


def give(pause: Pause, said: Any) -> None:
    """Keep an answer for the flow, sealed.

    Args:
        pause: The question.
        said: As `json.loads` gives it. For a form with no field but `value`, that may be given by itself.

    Raises:
        InputError: If it does not fit, as far as the schema says, or is too large.
        NotResumableError: If somebody else has answered, or nobody waits any more.
        StorageError: If it cannot be kept.
        KeyringError: If it cannot be sealed.
    """
    form = form_of(pause)
    if form is None and said is not None:
        raise InputError("the flow run waits for no input; answer without any", field="")
    if form is not None and not isinstance(said, dict) and list(form["properties"]) == [PLAIN_FIELD]:
        said = {PLAIN_FIELD: said}
    wrong = [] if form is None else problems({"type": "object", **form}, said)
    if wrong:
        raise _misfit(wrong)
    text = json.dumps(said)
    if len(text) > MAX_ANSWER:
        raise InputError(f"the answer has {len(text):,} bytes of JSON, and {MAX_ANSWER:,} is the most", field="")
    if not pauses.answer(pause, seal_answer(pause, text), datetime.now(UTC)):
        raise NotResumableError(
            f"{pause.key} of run {pause.run_id} was answered, asked anew or given up a moment ago; see `entrepot runs"
            " waiting`",
            run_id=pause.run_id,
        )


def _misfit(wrong: Sequence[Problem]) -> InputError:
    return InputError(
        f"the answer does not fit what the flow run waits for: {'; '.join(map(str, wrong))}",
        field=wrong[0].where.partition(".")[0],
    )


def _of_run(everything: Sequence[Waiting], wanted: str) -> list[Waiting]:
    """Return the questions of runs whose id is this, or begins so; none if several runs' ids do."""
    exact = [one for one in everything if wanted == one.pause.run_id]
    if exact or len(wanted) < _SHORTEST_PREFIX:
        return exact
    near = [one for one in everything if one.pause.run_id.startswith(wanted)]
    return near if len({one.pause.run_id for one in near}) == 1 else []


def _refuse_key(found: Sequence[Waiting], key: str | None) -> list[Waiting]:
    known = "; ".join(f"{one.pause.key} ({one.pause.message})" for one in found)
    asks = "waits for several answers; say which by its key:" if key is None else f"asks no {key!r}; it asks"
    raise InputError(f"flow run {found[0].name!r} {asks} {known}", field="key")


def _run(history: RunHistory, run_id: str) -> RunSummary | None:
    try:
        return history.get(run_id)
    except RunNotFoundError:
        return None


def _given_as(name: str, info: FieldInfo) -> str:
    return info.validation_alias if isinstance(info.validation_alias, str) else info.alias or name


def _bare(value: Any) -> Any:
    """Return a value with models and secrets opened, so that JSON can be made of it."""
    if hasattr(type(value), "get_secret_value"):
        return _bare(value.get_secret_value())
    if isinstance(value, BaseModel):
        return {_given_as(name, info): _bare(getattr(value, name)) for name, info in type(value).model_fields.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _bare(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: _bare(member) for name, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_bare(member) for member in value]
    return value
