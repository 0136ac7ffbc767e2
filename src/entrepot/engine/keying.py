"""The key that a run's result is found by, and whether what it stands for is still the same."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from entrepot._secrets import disguised
from entrepot.context import CURRENT
from entrepot.engine import lineage
from entrepot.engine.run import Run
from entrepot.engine.standing import Call, standing_of
from entrepot.errors import CacheKeyError
from entrepot.results.keys import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    RUN_ID,
    CacheKey,
    CachePolicy,
    KeyContext,
    named_key,
    user_key,
)

__all__ = ["changed_input", "compute_key", "policy_of"]

T = TypeVar("T")

_FIXED = frozenset({type(None), bool, int, float, complex, str, bytes})  # nobody can change one of these


def policy_of(run: Run) -> CachePolicy | None:
    """Return what the key of a run is made of; None where the user's function or template makes it."""
    options = run.definition.keeping
    if options.key_fn is not None or options.result_key is not None:
        return None
    return DEFAULT if options.policy is None else options.policy


def compute_key(run: Run, root_id: str) -> CacheKey | None:
    """Return the key that the result of a run is found by; None where it is not.

    Args:
        run: The run; its arguments are final.
        root_id: The first run of the line that it belongs to.

    Raises:
        CacheKeyError: If the user's function for the key raises or returns no key.
        UnhashableValueError: If an argument has no stable identity.
    """
    definition = run.definition
    options = definition.keeping
    if options.no_cache:
        return None
    if options.key_fn is not None:
        return _users_key(run)
    if options.result_key is not None:
        from entrepot.engine.storage_keys import storage_key_text  # noqa: PLC0415  few tasks have a template

        return named_key(definition.key, _inside(run, partial(storage_key_text, run, options.result_key)))
    policy = options.policy
    if policy is None:
        if definition.kind == "flow" and not options.caches:
            return None  # a flow's work is what its tasks do: it is not skipped unless somebody asked for that
        policy = DEFAULT
    flow = run.flow_context
    run_id = root_id
    if flow is not None and RUN_ID.covers <= policy.covers:
        run_id += standing_of(flow.engine)  # the same in each run that resumes this one
    run.stored = lineage.digests(run.passed)
    call = KeyContext(
        task_key=definition.key,
        fn=definition.fn,
        inputs=run.parameters,
        flow_parameters=None if flow is None else flow.parameters,
        run_id=run_id,
        version=definition.version,
        stored=run.stored,
    )
    key: CacheKey | None = policy.glance(call)
    if key is None:
        key = _inside(run, partial(policy.compute, call))  # hashers and the like are the user's code
    if key is not None and run.world.settings.check:
        from entrepot.engine.checking import check_key  # noqa: PLC0415  only the checking mode pays for it

        check_key(definition, policy, call, key)
    return key


def _inside(run: Run, call: Callable[[], T]) -> T:
    """Return what a call returns that may ask for the run, of the user's code or of ours."""
    token = CURRENT.set(run.enter_context())
    try:
        return call()
    finally:
        CURRENT.reset(token)


def _users_key(run: Run) -> CacheKey | None:
    definition, options = run.definition, run.definition.keeping
    arguments = (run.enter_context(), run.parameters) if options.key_fn_asks else ()
    try:
        text: object = None if options.key_fn is None else _inside(run, partial(options.key_fn, *arguments))
    except Exception as error:
        raise CacheKeyError(
            f"the cache_key_fn of {definition.label} raised {type(error).__name__}; nothing was run: mend it, or"
            " return None where a call is not to be cached",
            task=definition.name,
        ) from error
    if isinstance(text, str):
        text = disguised(text)
    return None if text is None else user_key(definition.key, text)


def changed_input(run: Run, key: CacheKey | Call, policy: CachePolicy | None) -> str | None:
    """Return which value that a key stands for is another one now, or None.

    Whoever called may have gone on to change a list, or the function itself has, in this attempt or the last.
    """
    if policy is None:
        return None  # what the user's function looks at is not known; asked again, it may answer for another moment
    covers, flow = policy.covers, run.flow_context
    inputs = run.parameters if INPUTS.covers <= covers else {}
    outer = flow.parameters if flow is not None and FLOW_PARAMETERS.covers <= covers else {}
    if all(type(value) in _FIXED for values in (inputs, outer) for value in values.values()):
        return None
    # The code is left out: what it refers to may well change while it runs, which says nothing of the arguments.
    values_only = CachePolicy(covers & (INPUTS.covers | FLOW_PARAMETERS.covers), policy.without)
    context = KeyContext(
        run.definition.key, run.definition.fn, inputs, flow_parameters=outer, stored=lineage.unchanged(run.stored)
    )
    try:
        again = values_only.compute(context)
    except Exception:  # noqa: BLE001  what has a key no longer has changed, in whatever way
        return "input"
    parts = {} if again is None else again.parts
    for name, digest in key.parts.items():
        kind, colon, value = name.partition(":")
        if colon and kind in {"input", "flow-parameter"} and parts.get(name) != digest:
            return f"{'parameter' if kind == 'input' else 'flow parameter'} {value!r}"
    return None
