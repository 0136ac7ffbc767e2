"""What makes two cache keys differ, and what became of one look-up, in words.

Pure: from what records say to what is said of them. `nearest` finds the record to compare with.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from entrepot._text import cut
from entrepot.results.outlines import changes
from entrepot.results.record import Record

__all__ = ["Difference", "Explanation", "Facts", "Near", "differences", "facts_of", "run_text", "with_sources"]

_SHOWN: Final = 100
_CONTEXT: Final = 3  # lines around a change
_DIGEST: Final = re.compile(r"(?:sha256:)?[0-9a-f]{64}\Z", re.ASCII)
_VALUES: Final = {"input": "input", "flow-parameter": "flow parameter"}
_FOUND: Final = {
    # What a function finds around it: what it is called, and whether a label stands between.
    "global": "global",
    "default": "default",
    "closure": "closure variable",
    "attribute": "attribute",
    "import": "import",
}
_SINGLE: Final = {
    "task": "task",
    "version": "version",
    "run": "flow run",
    "python": "Python",
    "call": "place among equal calls",
    "cache_key_fn": "cache_key_fn",
    "result_storage_key": "result_storage_key",
    "transaction": "transaction",
}
_NEVER: Final = (
    "a policy with RUN_ID, as DEFAULT is, never hits across flow runs; cache_policy=INPUTS + TASK_SOURCE does"
)
_POLICIES: Final = {"run": "RUN_ID", "code": "TASK_SOURCE"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one key.

    Attributes:
        parts: What it was made of, as of `CacheKey`.
        details: As of `Record`.
        key_id: The id of the key that the details were made under.
    """

    parts: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One part in which two keys differ.

    Attributes:
        part: Its name in the key: `input:df`, `code:helpers:clean`.
        kind: What it is: "input", "flow parameter", "function", "class", "global", "default", "closure variable",
            "attribute", "import", "version", "distribution", "Python", "flow run", "task", "cache_key_fn",
            "result_storage_key", "policy", or "part".
        path: Which one: `df.columns[3]`, `helpers.clean`, `pandas`; "" where there is only one.
        change: "changed", "added" or "removed".
        was: Its version, label or kind before; "" where only digests are known.
        now: The same for the key that is explained.
        old_code: The digest of a function before, else "".
        new_code: The digest of the function now, else "".
        diff: A unified diff of a function; "" if there is none.
        note: Why there is no diff; of a flow run, that it always differs; else "".
        file: What a file or folder is called whose content differs; "" for anything else, and where that is not known.
    """

    part: str
    kind: str
    path: str
    change: str = "changed"
    was: str = ""
    now: str = ""
    old_code: str = ""
    new_code: str = ""
    diff: str = ""
    note: str = ""
    file: str = ""

    def __str__(self) -> str:
        if self.kind == "policy":
            which = "this" if self.change == "added" else "that"
            return f"{self.path} counts in {which} key only: another cache policy"
        name = " ".join(filter(None, [self.kind, self.path]))
        if self.change == "added":
            return f"{name} is new{f': {self.now}' if self.now else ''}"
        if self.change == "removed":
            return f"{name} is gone{f': it was {self.was}' if self.was else ''}"
        if self.was and self.now and self.was != self.now:
            return f"{name} is {self.now}, was {self.was}"
        if self.file:
            return f"{name}: content of {self.file} differs"
        return f"{name} differs"


@dataclass(frozen=True, slots=True)
class Near:
    """The record that comes nearest to a key.

    Attributes:
        key: Its key.
        run: The run that computed it: `id`, `name`, ...
        created: When.
        location: Where it is.
        differences: In which parts the keys differ.
    """

    key: str
    run: Mapping[str, str]
    created: datetime
    location: str
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a result was used again, or was computed.

    Attributes:
        outcome: "hit", "miss", "expired", "damaged", "refreshed", "unknown key", "unreachable", "failed" (no key could
            be made), or "not kept".
        key: The cache key; "" where there is none.
        why: One sentence.
        task: The stable name of the task; "" if not known.
        run: The run that computed what is kept: `id`, `name`, ...; empty if nothing is.
        created: When that was.
        location: Where it is kept.
        nearest: For a miss, the record that comes nearest; None if there is none.
        scanned: How many other records were compared with this key.
    """

    outcome: str
    key: str
    why: str
    task: str = ""
    run: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None
    location: str = ""
    nearest: Near | None = None
    scanned: int = 0

    @property
    def differences(self) -> Sequence[Difference]:
        """In what the key differs from the nearest one."""
        return () if self.nearest is None else self.nearest.differences

    def __str__(self) -> str:
        lines = [f"{self.outcome}: {self.why}"]
        if self.nearest is not None:
            near = self.nearest
            lines.append(f"nearest: {near.key} of {run_text(near.run)}, {near.created.isoformat(timespec='seconds')}")
            lines += [f"  {one}" for one in near.differences]
        return "\n".join(lines)


def run_text(run: Mapping[str, str]) -> str:
    """Return what a run is called: `extract-1 (0a1b...)`."""
    name, run_id = run.get("name", ""), run.get("id", "")
    return f"{name} ({run_id})" if name and run_id else name or run_id or "an unknown run"


def facts_of(record: Record) -> Facts:
    """Return what a record says of its key."""
    return Facts(record.parts, record.details, record.digest.split(":")[1])


def differences(old: Facts, new: Facts) -> tuple[Difference, ...]:
    """Return in which parts two keys differ; nothing where they are made of the same.

    Args:
        old: The key that it is compared with.
        new: The key that is explained.
    """
    found = [*_of_policies(old.parts, new.parts)]
    skipped = {one.part for one in found}
    other_compiler = old.parts.get("python") != new.parts.get("python")  # which gives other code for the same source
    for part in sorted({**old.parts, **new.parts}, key=_order):
        was, now = old.parts.get(part), new.parts.get(part)
        if was == now or part in skipped or (_is_code(part) and not skipped.isdisjoint({"python", "version"})):
            continue
        if other_compiler and was and now and part.partition(":")[0] == "code":
            continue
        found += _of_part(part, was, now, old, new)
    return tuple(found)


def with_sources(found: Sequence[Difference], source: Callable[[str], str | None]) -> tuple[Difference, ...]:
    """Return differences with diffs of the functions.

    Args:
        found: The differences.
        source: Returns the text that a digest of code stands for, or None if it is not here.
    """
    return tuple(_with_diff(one, source) if one.old_code or one.new_code else one for one in found)


def _with_diff(one: Difference, source: Callable[[str], str | None]) -> Difference:
    old = source(one.old_code) if one.old_code else ""
    new = source(one.new_code) if one.new_code else ""
    if old is None or new is None:
        which = "neither source" if old is new else f"the {'older' if old is None else 'newer'} source"
        verb = "is" if old is new else "is not"
        return replace(one, note=f"{which} {verb} kept on this machine")
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{one.path} (was)", f"{one.path} (now)", n=_CONTEXT, lineterm=""
    )
    diff = "\n".join(lines)
    if not diff:
        return replace(one, note="its own text is the same: something that it is made of differs, such as a base")
    return replace(one, diff=diff)


# --- parts ------------------------------------------------------------------------------------------------------------


def _order(part: str) -> tuple[int, str]:
    """Return where a part stands: what always differs comes first, then what people change most."""
    named = ("cache_key_fn", "result_storage_key")
    kinds = ("task", "run", *named, "input", "flow-parameter", "version", "code", "global")
    kind = part.partition(":")[0]
    return (kinds.index(kind) if kind in kinds else len(kinds), part)


def _is_code(part: str) -> bool:
    kind = part.partition(":")[0]
    return kind in {"code", "package", "python"} or kind in _FOUND


def _of_policies(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    """Yield what one key covers and the other does not."""
    if old.get("task") == new.get("task") and ("version" in old) != ("version" in new) and "code" in {**old, **new}:
        change = "added" if "version" in new else "removed"
        was, now = (_shown(parts.get("version", "")) for parts in (old, new))
        yield Difference("version", "version", "", change, was, now)
        return
    for part, policy in _POLICIES.items():
        if (part in old) != (part in new):
            name = "python" if part == "code" else part
            yield Difference(name, "policy", policy, "added" if part in new else "removed")


def _of_part(part: str, was: str | None, now: str | None, old: Facts, new: Facts) -> Iterator[Difference]:
    kind, _, name = part.partition(":")
    change = "added" if was is None else "removed" if now is None else "changed"
    if kind in _VALUES and name:
        if change != "changed":
            yield Difference(part, _VALUES[kind], name, change)
            return
        comparable = bool(old.key_id) and old.key_id == new.key_id
        # Of a run that kept nothing there are no details, which does not mean that the parts are gone.
        was_parts, now_parts = (old.details, new.details) if old.details and new.details else ({}, {})
        for one in changes(part, was_parts, now_parts, comparable=comparable):
            if bool(one.was) != bool(one.now):
                change = "added" if one.now else "removed"
            yield Difference(part, _VALUES[kind], one.path, change, one.was, one.now, file=one.file)
            change = "changed"
        return
    if kind == "code":
        path = name.replace(":", ".") or (new.parts.get("task") or old.parts.get("task") or "").rpartition(".")[2]
        what = "class" if path.rpartition(".")[2][:1].isupper() else "function"  # as they are called by custom
        yield Difference(part, what, path, change, old_code=was or "", new_code=now or "")
        return
    texts = (_shown(was or ""), _shown(now or ""))
    if kind == "package":
        yield Difference(part, "distribution", name, change, *texts)
    elif kind in _FOUND:
        yield Difference(part, _FOUND[kind], name.replace(":", "."), change, *texts)
    else:
        note = _NEVER if part == "run" else ""
        yield Difference(part, _SINGLE.get(part, "part"), "" if part in _SINGLE else part, change, *texts, note=note)


def _shown(text: str) -> str:
    """Return a version, a label or a text of the user's; "" for a digest, which says nothing to people."""
    return "" if _DIGEST.match(text) else cut(text.removeprefix("@").replace(":", "."), _SHOWN)
