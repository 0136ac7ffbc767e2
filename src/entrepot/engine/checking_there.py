"""The second process of the checking mode: it makes keys again, from the same code and the same values."""

import os
import pickle
import sys
from collections.abc import Mapping
from types import ModuleType

from entrepot.engine.checking import Question
from entrepot.engine.entrypoints import named
from entrepot.engine.loading import load_module
from entrepot.results.keys import CachePolicy, KeyContext
from entrepot.serializers import get_serializer

__all__ = ["answer_all"]


def answer_all() -> None:
    """Answer questions from standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what modules print when they are loaded is no answer
    modules: dict[str, ModuleType] = {}
    while True:
        try:
            question: Question = pickle.load(sys.stdin.buffer)  # noqa: S301  of the parent
        except EOFError:
            return
        try:
            answer: Mapping[str, str] | str = _parts(question, modules)
        except Exception as error:  # noqa: BLE001  whatever the user's module does, others can still be checked
            answer = f"{type(error).__name__}: {error}"
        pickle.dump(answer, answers)
        answers.flush()


def _parts(question: Question, modules: dict[str, ModuleType]) -> Mapping[str, str] | str:
    entrypoint = question.entrypoint
    if entrypoint.module not in modules:
        os.chdir(question.folder)
        sys.argv, sys.path[:] = list(question.arguments), list(question.path)
        modules[entrypoint.module] = load_module(entrypoint)
    found = named(modules[entrypoint.module], entrypoint.name)
    definition = getattr(found, "_definition", None)
    if definition is None:
        return f"{entrypoint.text} is not there when its file is loaded"
    data = bytearray(b"".join(pickle.loads(question.values)))  # noqa: S301  of the parent
    values = get_serializer("pickle").loads(memoryview(data))
    assert isinstance(values, dict)  # noqa: S101  the parent's
    key = CachePolicy(question.covers, question.without).compute(
        KeyContext(
            task_key=definition.key,
            fn=definition.fn,
            inputs=values["inputs"],
            flow_parameters=values["flow_parameters"],
            run_id=question.run_id,
            version=question.version,
        )
    )
    return {} if key is None else dict(key.parts)
