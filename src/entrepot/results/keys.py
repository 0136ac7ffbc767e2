"""Cache keys: which calls are the same call.

A policy says what a key is made of; `compute` makes it, together with its parts by name, so that a miss can be
explained: by which input, which function or which constant two keys differ.

    INPUTS                      the arguments, by value and type
    INPUTS - "debug"            without one of them
    TASK_SOURCE                 the code of the task and of what it uses
    RUN_ID                      the flow run (outside of flows, the task run)
    FLOW_PARAMETERS             the parameters of the flow run
    INPUTS + TASK_SOURCE        both
    DEFAULT                     INPUTS + TASK_SOURCE + RUN_ID
    NO_CACHE                    nothing: no result is used again

The task itself is a part of every key: two tasks never share one.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from entrepot._frozen import quick
from entrepot.errors import CacheKeyError, OptionError
from entrepot.hashing.code import hash_function, known_function
from entrepot.hashing.values import hash_parts, identify, small_digest

__all__ = [
    "DEFAULT",
    "FLOW_PARAMETERS",
    "INPUTS",
    "NONE",
    "NO_CACHE",
    "RUN_ID",
    "TASK_SOURCE",
    "CacheKey",
    "CachePolicy",
    "KeyContext",
    "named_key",
    "user_key",
]

_FORMAT: Final = "e1"
"""Starts every computed key; whatever changes how keys are computed changes it."""

_INPUTS: Final = "INPUTS"
_TASK_SOURCE: Final = "TASK_SOURCE"
_RUN_ID: Final = "RUN_ID"
_FLOW_PARAMETERS: Final = "FLOW_PARAMETERS"
_ORDER: Final = (_INPUTS, _TASK_SOURCE, _RUN_ID, _FLOW_PARAMETERS)

_SHOWN: Final = 200  # characters of a user's own key that stand among its parts


@quick
@dataclass(frozen=True, slots=True)
class KeyContext:
    """A call, as far as its key can depend on it.

    Attributes:
        task_key: The stable name of the task: module and qualified name.
        fn: Its function.
        inputs: Its arguments by parameter, defaults included; keyword arguments that the function collects
            (`**options`) are one mapping under that parameter's name.
        flow_parameters: Those of the flow run that it is called in, or None outside of flows.
        run_id: The flow run; outside of flows, the task run.
        version: What the user says stands for the task's code, or None.
        stored: The digests of values that are known already, by the values' identity (`hash_value`): arguments that
            are results themselves, of types of which nothing but the bytes counts.
    """

    task_key: str
    fn: Callable[..., Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    flow_parameters: Mapping[str, Any] | None = None
    run_id: str = ""
    version: str | None = None
    stored: Mapping[int, str] = field(default_factory=dict)


@quick
@dataclass(frozen=True, slots=True)
class CacheKey:
    """The key of a call.

    Attributes:
        key: The text that the result is kept under.
        parts: What it was made of, by name: `task`, `input:<parameter>`, `flow-parameter:<name>`, `run`, `version`, and
            the parts of the code (see `entrepot.hashing.code.CodeHash`). Values stand there as digests.
    """

    key: str
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class CachePolicy:
    """What keys are made of. Not made directly: add and subtract `INPUTS`, `TASK_SOURCE`, `RUN_ID`, `FLOW_PARAMETERS`.

    Attributes:
        covers: The names of the policies that it was added up from.
        without: The input parameters that do not count.
    """

    covers: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = self.covers.difference(_ORDER)
        if unknown:
            raise OptionError(
                f"a cache policy is added up from {', '.join(_ORDER)} and NO_CACHE; there is no {min(unknown)!r}",
                option="cache_policy",
            )
        if self.without and _INPUTS not in self.covers:
            raise OptionError(_nothing_to_subtract(self.covers, min(self.without)), option="cache_policy")

    @property
    def never(self) -> bool:
        """Whether this is `NO_CACHE`."""
        return not self.covers

    def __add__(self, other: object) -> "CachePolicy":
        """Return the policy whose keys depend on what either depends on; `NO_CACHE` adds nothing."""
        if not isinstance(other, CachePolicy):
            return NotImplemented
        counting = [one.without for one in (self, other) if _INPUTS in one.covers]
        # A parameter counts if it counts for either of the two.
        without = frozenset.intersection(*counting) if counting else frozenset[str]()
        return CachePolicy(self.covers | other.covers, without)

    def __sub__(self, other: object) -> "CachePolicy":
        """Return the policy without one input parameter.

        Raises:
            OptionError: If what is subtracted is no name, or the policy does not cover inputs.
        """
        if not isinstance(other, str) or not other:
            raise OptionError(
                f"what is subtracted from a cache policy is the name of a parameter, as in INPUTS - 'debug', "
                f"not {'an empty text' if other == '' else f'a {type(other).__name__}'}",
                option="cache_policy",
            )
        if _INPUTS not in self.covers:
            raise OptionError(_nothing_to_subtract(self.covers, other), option="cache_policy")
        return CachePolicy(self.covers, self.without | {other})

    def __repr__(self) -> str:
        said: list[str] = [name for name in _ORDER if name in self.covers]
        if not said:
            return "NO_CACHE"
        if self.without:  # INPUTS comes first, so that the subtraction needs no brackets
            said[0] = " - ".join([_INPUTS, *(repr(name) for name in sorted(self.without))])
        return " + ".join(said)

    def compute(self, context: KeyContext) -> CacheKey | None:
        """Return the key of a call, or None where results are not used again.

        Raises:
            UnhashableValueError: If an argument, or something that the code uses, has no stable identity.
            OptionError: If a parameter is subtracted that the task does not have.
        """
        if not self.covers:
            return None
        parts = {"task": context.task_key}
        classes: dict[type, None] = {}
        if _INPUTS in self.covers:
            _add_values(parts, classes, "input", self._counting(context), context.stored)
        if _FLOW_PARAMETERS in self.covers and context.flow_parameters is not None:
            _add_values(parts, classes, "flow-parameter", context.flow_parameters, context.stored)
        if _RUN_ID in self.covers:
            parts["run"] = context.run_id
        if _TASK_SOURCE in self.covers:
            if context.version is not None:
                parts["version"] = context.version
            else:
                parts.update(hash_function(context.fn, classes=classes).parts)
        return CacheKey(f"{_FORMAT}-{hash_parts(parts)}", parts)

    def glance(self, context: KeyContext) -> CacheKey | None:
        """Return what `compute` does where that runs no code of the user's: of small plain data and known code.

        None for all other calls.
        """
        covers = self.covers
        if self.without or context.stored or not covers:
            return None
        parts = {"task": context.task_key}
        if _INPUTS in covers and not _add_small(parts, "input", context.inputs):
            return None
        if _FLOW_PARAMETERS in covers and not _add_small(parts, "flow-parameter", context.flow_parameters or {}):
            return None
        if _RUN_ID in covers:
            parts["run"] = context.run_id
        if _TASK_SOURCE in covers:
            code = None if context.version is not None else known_function(context.fn)
            if code is not None:
                parts.update(code.parts)
            elif context.version is not None:
                parts["version"] = context.version
            else:
                return None
        return CacheKey(f"{_FORMAT}-{hash_parts(parts)}", parts)

    def _counting(self, context: KeyContext) -> Mapping[str, Any]:
        """Return the arguments that count."""
        if not self.without:
            return context.inputs
        inputs = dict(context.inputs)
        collected = None
        for name in sorted(self.without):
            if name in inputs:
                del inputs[name]
                continue
            collected = _collecting_parameter(context.fn) if collected is None else collected
            if not collected:
                raise _unknown_parameter(name, context.task_key, context.inputs)
            # `**options` may hold it or not, from call to call.
            options = inputs.get(collected)
            if isinstance(options, Mapping):
                inputs[collected] = {key: value for key, value in options.items() if key != name}
        return inputs


def user_key(task_key: str, text: object) -> CacheKey:
    """Return the key that a `cache_key_fn` made: the task's own, so that other tasks may use the same text.

    Args:
        task_key: The stable name of the task.
        text: What the function returned; any length.

    Raises:
        CacheKeyError: If it is no text, an empty one, or one that UTF-8 cannot write.
    """
    if not isinstance(text, str) or not text or not _is_writable(text):
        what = f"a {type(text).__name__}"
        if isinstance(text, str):
            what = "a text that UTF-8 cannot write" if text else "an empty text"
        raise CacheKeyError(
            f"the cache_key_fn of {task_key} returned {what}; return a text of at least one character, or None where "
            f"a call is not to be cached",
            task=task_key,
        )
    return CacheKey(f"fn/{_scope(task_key)}/{text}", {"task": task_key, "cache_key_fn": _shown(text)})


def named_key(task_key: str, text: str) -> CacheKey:
    """Return the key that a `result_storage_key` made: the task's own, as that of `user_key`.

    Args:
        task_key: The stable name of the task.
        text: The template, filled in.

    Raises:
        CacheKeyError: If it is empty, or UTF-8 cannot write it.
    """
    if not text or not _is_writable(text):
        what = "a text that UTF-8 cannot write" if text else "an empty text"
        raise CacheKeyError(f"the result_storage_key of {task_key} makes {what} of these parameters", task=task_key)
    return CacheKey(f"name/{_scope(task_key)}/{text}", {"task": task_key, "result_storage_key": _shown(text)})


def _scope(task_key: str) -> str:
    return task_key.replace("%", "%25").replace("/", "%2F")  # a name with a slash must not reach into another's keys


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _add_values(
    parts: dict[str, str],
    classes: dict[type, None],
    kind: str,
    values: Mapping[str, Any],
    stored: Mapping[int, str],
) -> None:
    for name, value in values.items():
        known = stored.get(id(value)) if stored else None
        if known is not None:
            parts[f"{kind}:{name}"] = known
            classes[type(value)] = None
            continue
        identity = identify(value, name=name)
        parts[f"{kind}:{name}"] = identity.digest
        for cls in identity.classes:
            classes[cls] = None


def _add_small(parts: dict[str, str], kind: str, values: Mapping[str, Any]) -> bool:
    """Add the digests of small plain data; return whether all of the values are that."""
    for name, value in values.items():
        digest = small_digest(value)
        if digest is None:
            return False
        parts[f"{kind}:{name}"] = digest
    return True


def _collecting_parameter(fn: Callable[..., Any]) -> str:
    """Return the name of a function's `**options`, or "" if it has none."""
    import inspect  # noqa: PLC0415  only asked about a name that is not among the arguments

    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return ""
    return next((one.name for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD), "")


def _unknown_parameter(name: str, task_key: str, known: Collection[str]) -> OptionError:
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(map(repr, known)) or 'none'}"
    return OptionError(
        f"the cache policy of {task_key} leaves out {name!r}, but the task has no such parameter{hint}",
        option="cache_policy",
    )


def _nothing_to_subtract(covers: Collection[str], name: str) -> str:
    policy = " + ".join(one for one in _ORDER if one in covers) or "NO_CACHE"
    return f"{policy} does not look at inputs, so {name!r} cannot be left out of it; INPUTS - {name!r} does and can"


INPUTS: Final = CachePolicy(frozenset({_INPUTS}))
"""The arguments, by value and type."""

TASK_SOURCE: Final = CachePolicy(frozenset({_TASK_SOURCE}))
"""The code of the task, of the functions, classes and constants that it uses, and of its arguments' classes."""

RUN_ID: Final = CachePolicy(frozenset({_RUN_ID}))
"""The flow run: results are used again within it only."""

FLOW_PARAMETERS: Final = CachePolicy(frozenset({_FLOW_PARAMETERS}))
"""The parameters of the flow run that the task is called in."""

DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
"""What holds where nothing is said."""

NO_CACHE: Final = CachePolicy()
"""No result is used again; added to another policy it changes nothing."""

NONE: Final = NO_CACHE
"""Another name for `NO_CACHE`."""
