"""The options of `@flow` and `@task`: their names, their types, and what is wrong where they make no sense."""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypedDict

from entrepot.engine.definition import Definition, function_name, is_async_function, stable_key
from entrepot.engine.hooks import Hook, hooks_of
from entrepot.engine.keeping_options import CACHE_OPTIONS, KEEP_OPTIONS, KEY_OPTIONS, is_no_cache, keeping_of
from entrepot.engine.parameters import Binder
from entrepot.engine.plain_options import flag_option, text_option
from entrepot.engine.references import References, asks_for_references
from entrepot.engine.retries import RetryDelay, RetryPolicy, retry_policy
from entrepot.engine.templates import check_run_name
from entrepot.engine.validation import Validator
from entrepot.errors import OptionError, PluginError
from entrepot.protocols.recorder import RunKind
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import Storage, SupportsStorage
from entrepot.protocols.task_runner import TaskRunner

__all__ = ["CommonOptions", "FlowOptions", "TaskOptions", "check_names", "define", "merged"]


HookOption: TypeAlias = Iterable[Hook] | Hook | None


class CommonOptions(TypedDict, total=False):
    """What flows and tasks have in common."""

    name: str | None
    description: str | None
    tags: Iterable[str] | None
    version: str | None
    retries: int | None
    retry_delay_seconds: RetryDelay | None
    timeout_seconds: float | timedelta | None
    on_running: HookOption
    on_completion: HookOption
    on_failure: HookOption
    on_crashed: HookOption
    on_cancellation: HookOption
    persist_result: bool | None
    result_storage: Storage | SupportsStorage | str | os.PathLike[str] | None
    result_serializer: Serializer | str | None
    result_storage_key: str | None
    cache_policy: Any
    cache_key_fn: Callable[..., str | None] | None
    cache_expiration: timedelta | None
    keep: str | timedelta | None
    keep_last: int | None
    refresh_cache: bool | None
    single_flight: bool | None
    refresh_early: timedelta | float | None
    log_prints: bool | None


class TaskOptions(CommonOptions, total=False):
    """The options of `@task`."""

    retry_jitter_factor: float | None
    retry_condition_fn: Callable[..., Any] | None
    task_run_name: str | Callable[..., str] | None
    isolation: Literal["process"] | None
    on_commit: HookOption
    on_rollback: HookOption


class FlowOptions(CommonOptions, total=False):
    """The options of `@flow`."""

    flow_run_name: str | Callable[..., str] | None
    task_runner: TaskRunner | type[TaskRunner] | str | None
    validate_parameters: bool | None


_KNOWN: Mapping[RunKind, frozenset[str]] = {
    "task": frozenset(TaskOptions.__optional_keys__),
    "flow": frozenset(FlowOptions.__optional_keys__),
}

# Named by the engines that our users come from. To ignore one would be worse than to refuse it.
_ABSENT: Mapping[str, str] = {
    "asset_deps": "there are no assets here; pass results, or futures in wait_for",
    "cache_result_in_memory": "a result is held in memory only as long as somebody can still read it; leave it out",
    "viz_return_value": "graphs are drawn of real runs: entrepot runs graph",
}
_RESERVED = ("return_state", "wait_for")


def check_names(kind: RunKind, given: Mapping[str, Any]) -> None:
    """Refuse options that there are not.

    Raises:
        OptionError: With the nearest option that there is.
    """
    known = _KNOWN[kind]
    for name in given:
        if name in known:
            continue
        if name in _ABSENT:
            raise OptionError(f"@{kind} has no option {name!r}: {_ABSENT[name]}", option=name)
        from difflib import get_close_matches  # noqa: PLC0415  only a mistake pays for it

        near = get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise OptionError(f"@{kind} has no option {name!r}{hint}; it has: {', '.join(sorted(known))}", option=name)


def merged(kind: RunKind, given: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with some of them given anew; `None` takes an option back.

    A new option that contradicts an old one takes its place: a `cache_policy` that of a `cache_key_fn`, and
    `persist_result=False` that of every option of the cache.

    Raises:
        OptionError: If there is no such option.
    """
    check_names(kind, new)
    drops: set[str] = set()
    if new.get("persist_result") is False:
        drops.update(CACHE_OPTIONS, KEEP_OPTIONS)
    for name in KEY_OPTIONS:
        if new.get(name) is not None:
            drops.update(other for other in KEY_OPTIONS if other != name)
    if is_no_cache(new.get("cache_policy")):
        drops.update(CACHE_OPTIONS)
    if any(new.get(name) for name in (*CACHE_OPTIONS, *KEEP_OPTIONS)) and given.get("persist_result") is False:
        drops.add("persist_result")
    return {name: value for name, value in given.items() if name not in drops} | dict(new)


def define(kind: RunKind, fn: Callable[..., Any], given: Mapping[str, Any]) -> Definition:
    """Return what a function with options is to the engine.

    Raises:
        OptionError: If an option is unknown, of the wrong type, or contradicts another.
    """
    check_names(kind, given)
    if not callable(fn):
        raise OptionError(
            f"@{kind} decorates a function, not {fn!r}; options have names: @{kind}(name=...)", option="fn"
        )
    option = {name: value for name, value in given.items() if value is not None}
    name = text_option(kind, option, "name") or function_name(fn)
    what = f"{kind} {name!r}"
    binder = Binder(fn, what)
    for reserved in _RESERVED:
        if reserved in binder.signature.parameters:
            raise OptionError(
                f"{what} has a parameter {reserved!r}, which callers could not give: the name is ours; rename it",
                option=reserved,
            )
    is_async = is_async_function(fn)
    return Definition(
        kind=kind,
        fn=fn,
        name=name,
        key=stable_key(fn),
        binder=binder,
        retry=_retry(what, option, is_async=is_async),
        keeping=keeping_of(what, option, is_task=kind == "task"),
        hooks=hooks_of(what, option),
        run_name=check_run_name(
            what, f"{kind}_run_name", option.get(f"{kind}_run_name"), binder.signature.parameters.keys()
        ),
        timeout=_timeout(what, option.get("timeout_seconds")),
        isolated=_isolated(what, option.get("isolation"), is_async=is_async),
        description=text_option(kind, option, "description") or inspect.getdoc(fn),
        version=text_option(kind, option, "version"),
        tags=_tags(what, option.get("tags", ())),
        log_prints=flag_option(what, option, "log_prints"),
        is_async=is_async,
        validator=_validator(kind, fn, binder.signature, what, option),
        task_runner=_task_runner(what, option.get("task_runner")),
    )


# --- one option each -------------------------------------------------------------------------------------------------


def _validator(
    kind: str, fn: Callable[..., Any], signature: inspect.Signature, what: str, option: Mapping[str, Any]
) -> Validator | References | None:
    if kind == "flow" and flag_option(what, option, "validate_parameters") is not False:
        return Validator(fn, signature, what)
    return References(fn, signature, what) if asks_for_references(fn, signature) else None


def _tags(what: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise OptionError(f"{what}: tags is a list of texts; write tags=[{value!r}]", option="tags")
    tags = tuple(value) if isinstance(value, Iterable) else (value,)
    if not all(isinstance(tag, str) and tag for tag in tags):
        raise OptionError(f"{what}: tags is a list of texts, not {value!r}", option="tags")
    return tuple(sorted(set(tags)))


def _retry(what: str, option: Mapping[str, Any], *, is_async: bool) -> RetryPolicy:
    condition = option.get("retry_condition_fn")
    if condition is not None and not is_async and is_async_function(condition):
        raise OptionError(
            f"{what}: retry_condition_fn is async and the task is not; write it with a plain def",
            option="retry_condition_fn",
        )
    return retry_policy(
        option.get("retries", 0),
        option.get("retry_delay_seconds", 0),
        option.get("retry_jitter_factor"),
        condition,
        what=what,
    )


def _timeout(what: str, value: Any) -> float | None:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise OptionError(
            f"{what}: timeout_seconds is a number of seconds above zero, not {value!r}", option="timeout_seconds"
        )
    return float(value)


def _isolated(what: str, value: Any, *, is_async: bool) -> bool:
    if value not in (None, "process"):
        raise OptionError(
            f"{what}: isolation is 'process', for a process of its own, or left out; not {value!r}", option="isolation"
        )
    if value and is_async:
        raise OptionError(
            f"{what}: isolation='process' is for plain functions; an async one stops at its next await anyway",
            option="isolation",
        )
    return value is not None


def _task_runner(what: str, runner: Any) -> TaskRunner | None:
    if isinstance(runner, str):
        from entrepot.task_runners.naming import named_task_runner  # noqa: PLC0415  only who gives a name pays for it

        try:
            return named_task_runner(runner)
        except PluginError as error:
            raise OptionError(f"{what}: {error}", option="task_runner") from error
    if isinstance(runner, type):
        runner = runner()
    if runner is not None and not (hasattr(runner, "submit") and hasattr(runner, "duplicate")):
        raise OptionError(
            f"{what}: task_runner is a task runner such as ThreadPoolTaskRunner(max_workers=8), its class, or the name"
            f" of one ('threads', 'processes', 'sequential'), not {runner!r}",
            option="task_runner",
        )
    made: TaskRunner | None = runner
    return made
