"""The options about results: whether and where they are kept, what they are found by, and for how long."""

import inspect
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from entrepot._amounts import SPANS, seconds_of
from entrepot.engine.definition import is_async_function
from entrepot.engine.keeping import KeepingOptions
from entrepot.engine.plain_options import flag_option
from entrepot.engine.templates import check_template
from entrepot.errors import OptionError
from entrepot.protocols.serializer import Serializer
from entrepot.protocols.storage import SupportsStorage

__all__ = ["CACHE_OPTIONS", "KEEP_OPTIONS", "KEY_OPTIONS", "is_no_cache", "keeping_of"]

KEEP_OPTIONS = ("keep", "keep_last")
CACHE_OPTIONS = (
    *("cache_policy", "cache_key_fn", "cache_expiration", "refresh_cache", "result_storage_key"),
    *("single_flight", "refresh_early"),
)
KEY_OPTIONS = ("cache_policy", "cache_key_fn", "result_storage_key")  # each says what results are found by


def keeping_of(what: str, option: Mapping[str, Any], *, is_task: bool) -> KeepingOptions:
    """Return what options say of results.

    Args:
        what: Whose they are, for messages: `task 'extract'`.
        option: Those that were given, by name.
        is_task: Whether it is a task.

    Raises:
        OptionError: If one is of the wrong type, or contradicts another.
    """
    policy, key_fn = option.get("cache_policy"), option.get("cache_key_fn")
    persist = flag_option(what, option, "persist_result")
    refresh = flag_option(what, option, "refresh_cache")
    expiration = option.get("cache_expiration")
    no_cache = is_no_cache(policy)
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
    keys = [name for name in KEY_OPTIONS if option.get(name) is not None]
    if len(keys) > 1 and not no_cache:
        raise OptionError(
            f"{what}: {' and '.join(keys)} both say what the key is made of; give one of them", option=keys[-1]
        )
    uses_cache = [name for name in CACHE_OPTIONS if option.get(name) and not is_no_cache(option[name])]
    keep, keep_last = _keep(what, option.get("keep")), _keep_last(what, option.get("keep_last"))
    if no_cache and uses_cache:
        raise OptionError(
            f"{what}: cache_policy=NO_CACHE says that no result is used again, and {uses_cache[0]} how it is used;"
            " give one of them",
            option=uses_cache[0],
        )
    needs_keeping = uses_cache + [name for name in KEEP_OPTIONS if option.get(name) is not None]
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
        single_flight=flag_option(what, option, "single_flight"),
        refresh_early=_refresh_early(what, option, expiration),
    )


def _result_key(what: str, value: Any, *, is_task: bool) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"{what}: result_storage_key is a text, not {value!r}", option="result_storage_key")
    known = {"flow_run", "parameters", "task_run"} if is_task else {"flow_run", "parameters"}
    check_template(what, "result_storage_key", value, known)
    return value


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


def is_no_cache(policy: Any) -> bool:
    """Return whether a cache policy says that no result is used again."""
    return policy is not None and getattr(policy, "never", False) is True
