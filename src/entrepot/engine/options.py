"""The options of `@flow` and `@task`: their names, their types, and what is wrong where they make no sense."""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypedDict

from entrepot._amounts import SPANS, seconds_of
from entrepot.engine.definition import Definition, function_name, is_async_function, stable_key
from entrepot.engine.hooks import Hook, hooks_of
from entrepot.engine.keeping import KeepingOptions
from entrepot.engine.parameters import Binder
from entrepot.engine.references import References, asks_for_references
from entrepot.engine.retries import RetryDelay, RetryPolicy, retry_policy
from entrepot.engine.templates import check_run_name, check_template
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
_KEEP_OPTIONS = ("keep", "keep_last")
_CACHE_OPTIONS = (
    *("cache_policy", "cache_key_fn", "cache_expiration", "refresh_cache", "result_storage_key"),
    *("single_flight", "refresh_early"),
)
_KEY_OPTIONS = ("cache_policy", "cache_key_fn", "result_storage_key")  # each says what results are found by
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
        drops.update(_CACHE_OPTIONS, _KEEP_OPTIONS)
    for name in _KEY_OPTIONS:
        if new.get(name) is not None:
            drops.update(other for other in _KEY_OPTIONS if other != name)
    if _is_no_cache(new.get("cache_policy")):
        drops.update(_CACHE_OPTIONS)
    if any(new.get(name) for name in (*_CACHE_OPTIONS, *_KEEP_OPTIONS)) and given.get("persist_result") is False:
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
    name = _text(kind, option, "name") or function_name(fn)
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
        keeping=_keeping(what, option, is_task=kind == "task"),
        hooks=hooks_of(what, option),
        run_name=check_run_name(
            what, f"{kind}_run_name", option.get(f"{kind}_run_name"), binder.signature.parameters.keys()
        ),
        timeout=_timeout(what, option.get("timeout_seconds")),
        isolated=_isolated(what, option.get("isolation"), is_async=is_async),
        description=_text(kind, option, "description") or inspect.getdoc(fn),
        version=_text(kind, option, "version"),
        tags=_tags(what, option.get("tags", ())),
        log_prints=_flag(what, option, "log_prints"),
        is_async=is_async,
        validator=_validator(kind, fn, binder.signature, what, option),
        task_runner=_task_runner(what, option.get("task_runner")),
    )


# --- one option each -------------------------------------------------------------------------------------------------


def _validator(
    kind: str, fn: Callable[..., Any], signature: inspect.Signature, what: str, option: Mapping[str, Any]
) -> Validator | References | None:
    if kind == "flow" and _flag(what, option, "validate_parameters") is not False:
        return Validator(fn, signature, what)
    return References(fn, signature, what) if asks_for_references(fn, signature) else None


def _text(what: str, option: Mapping[str, Any], name: str) -> str | None:
    value = option.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"{what}: {name} is a text, not {value!r}", option=name)
    return value


def _flag(what: str, option: Mapping[str, Any], name: str) -> bool | None:
    value = option.get(name)
    if value is not None and not isinstance(value, bool):
        raise OptionError(f"{what}: {name} is True or False, not {value!r}", option=name)
    return value


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


def _result_key(what: str, value: Any, *, is_task: bool) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"{what}: result_storage_key is a text, not {value!r}", option="result_storage_key")
    known = {"flow_run", "parameters", "task_run"} if is_task else {"flow_run", "parameters"}
    check_template(what, "result_storage_key", value, known)
    return value


def _keeping(what: str, option: Mapping[str, Any], *, is_task: bool) -> KeepingOptions:
    policy, key_fn = option.get("cache_policy"), option.get("cache_key_fn")
    persist = _flag(what, option, "persist_result")
    refresh = _flag(what, option, "refresh_cache")
    expiration = option.get("cache_expiration")
    no_cache = _is_no_cache(policy)
    if policy is not None and not hasattr(policy, "compute"):
        raise OptionError(
            f"{what}: cache_policy is one of entrepot.cache_policies (INPUTS, TASK_SOURCE, ..., added with +),"
            f" not {policy!r}",
            option="cache_policy",
        )
    if key_fn is not None and not callable(key_fn):
        raise OptionError(
            f"{what}: cache_key_fn is a function of (context, parameters), or of nothing, not {key_fn!r}",
            option="cache_key_fn",
        )
    if key_fn is not None and is_async_function(key_fn):
        raise OptionError(f"{what}: cache_key_fn is async; write it with a plain def", option="cache_key_fn")
    if expiration is not None and (not isinstance(expiration, timedelta) or expiration <= timedelta(0)):
        raise OptionError(
            f"{what}: cache_expiration is a timedelta above zero, such as timedelta(hours=1), not {expiration!r}",
            option="cache_expiration",
        )
    keys = [name for name in _KEY_OPTIONS if option.get(name) is not None]
    if len(keys) > 1 and not no_cache:
        raise OptionError(
            f"{what}: {' and '.join(keys)} both say what the key is made of; give one of them", option=keys[-1]
        )
    uses_cache = [name for name in _CACHE_OPTIONS if option.get(name) and not _is_no_cache(option[name])]
    keep, keep_last = _keep(what, option.get("keep")), _keep_last(what, option.get("keep_last"))
    if no_cache and uses_cache:
        raise OptionError(
            f"{what}: cache_policy=NO_CACHE says that no result is used again, and {uses_cache[0]} how it is used;"
            " give one of them",
            option=uses_cache[0],
        )
    needs_keeping = uses_cache + [name for name in _KEEP_OPTIONS if option.get(name) is not None]
    if persist is False and needs_keeping:
        raise OptionError(
            f"{what}: {needs_keeping[0]} needs results that are kept, and persist_result=False says not to keep them;"
            " leave one of them out",
            option="persist_result",
        )
    storage, serializer = option.get("result_storage"), option.get("result_serializer")
    _check_storage(what, storage)
    if serializer is not None and not isinstance(serializer, str | Serializer):
        raise OptionError(
            f"{what}: result_serializer is a name such as 'json' or a serializer, not {serializer!r}",
            option="result_serializer",
        )
    if isinstance(serializer, type):
        raise OptionError(
            f"{what}: result_serializer is a class; write {serializer.__name__}() to make a serializer of it",
            option="result_serializer",
        )
    asks = key_fn is None or _asks(what, key_fn)
    return KeepingOptions(
        persist,
        storage,
        serializer,
        None if no_cache else policy,
        key_fn,
        expiration,
        refresh,
        key_fn_asks=asks,
        no_cache=no_cache,
        result_key=_result_key(what, option.get("result_storage_key"), is_task=is_task),
        keep=keep,
        keep_last=keep_last,
        single_flight=_flag(what, option, "single_flight"),
        refresh_early=_refresh_early(what, option, expiration),
    )


def _keep(what: str, value: Any) -> str | None:
    """Return how long results are kept, as records say it: seconds, or "run"."""
    if value is None or value == "run":
        return None if value is None else "run"
    try:
        seconds = seconds_of(value) if isinstance(value, str | timedelta) else 0
    except ValueError:
        seconds = 0
    if seconds < 1:
        raise OptionError(
            f"{what}: keep is how long results are kept, longer than nothing: {SPANS}; a timedelta; or 'run' for until"
            f" the flow run ends; not {value!r}",
            option="keep",
        )
    return str(seconds)


def _keep_last(what: str, value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise OptionError(
            f"{what}: keep_last is how many results of it are kept, 1 or more; not {value!r}", option="keep_last"
        )
    number: int | None = value
    return number


def _refresh_early(what: str, option: Mapping[str, Any], expiration: Any) -> timedelta | float | None:
    """Return how long before it expires a result is computed again."""
    value = option.get("refresh_early")
    if value is None:
        return None
    if isinstance(value, timedelta):
        fits = timedelta(0) < value
    else:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
    if not fits:
        raise OptionError(
            f"{what}: refresh_early is a timedelta above zero, or a part of cache_expiration such as 0.1, not"
            f" {value!r}",
            option="refresh_early",
        )
    if expiration is None:
        raise OptionError(
            f"{what}: refresh_early says how long before it expires a result is computed again, and without a"
            " cache_expiration it never does; give one",
            option="refresh_early",
        )
    if isinstance(value, timedelta) and value >= expiration:
        raise OptionError(
            f"{what}: refresh_early={value} is not shorter than cache_expiration={expiration}: no result would be used"
            " again; make it shorter",
            option="refresh_early",
        )
    if option.get("single_flight") is False:
        raise OptionError(
            f"{what}: refresh_early lets one call compute a result again, and single_flight=False says that calls do"
            " not look at each other; leave one of them out",
            option="refresh_early",
        )
    made: timedelta | float = value
    return made


def _asks(what: str, key_fn: Callable[..., Any]) -> bool:
    """Return whether a `cache_key_fn` takes (context, parameters); else it takes nothing."""
    try:
        signature = inspect.signature(key_fn)
    except ValueError:
        return True  # a built-in without a signature
    for arguments in ((None, None), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return bool(arguments)
    raise OptionError(
        f"{what}: cache_key_fn takes (context, parameters), or nothing; this one takes {signature}",
        option="cache_key_fn",
    )


def _check_storage(what: str, storage: Any) -> None:
    """Refuse what can be no storage; whether it can be reached is seen when the task runs."""
    fits = isinstance(storage, str | os.PathLike | SupportsStorage) or all(
        hasattr(storage, method) for method in ("get", "put", "create", "list")
    )
    if storage is not None and (not fits or isinstance(storage, type)):
        raise OptionError(
            f"{what}: result_storage is a path, a URL, the name of a saved block such as 's3/prod', a storage block, or"
            f" a Storage, not {storage!r}",
            option="result_storage",
        )


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


def _is_no_cache(policy: Any) -> bool:
    return policy is not None and getattr(policy, "never", False) is True
