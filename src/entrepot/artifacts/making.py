"""Making artifacts: what is given becomes JSON of a bounded size, and is told to the recorder of the run."""

import json
import math
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot._secrets import mask, mask_within
from entrepot.artifacts.plain import plain_table, text_of
from entrepot.context import CURRENT, FlowRunContext, TaskRunContext
from entrepot.errors import InvalidNameError, ParameterError
from entrepot.protocols.recorder import ArtifactKept, Recorder
from entrepot.runs import default_recorder
from entrepot.states import new_id

__all__ = [
    "MAX_DATA",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "aupdate_progress_artifact",
    "check_key",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]

MAX_DATA: Final = 4 << 20
"""Bytes of JSON that an artifact may have. What is larger is a result: keep that, and make an artifact of its link."""

_KEY: Final = re.compile(r"[a-z0-9-]{1,200}\Z", re.ASCII)
_NO_KEY: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_RUNS_CODE: Final = frozenset({"javascript", "vbscript", "data"})  # schemes of links that a browser would run
_DESCRIPTION: Final = 16_000  # characters; the history cuts what is longer


class _ArtifactId(UUID):
    """A UUID that can also be awaited: `await create_table_artifact(...)` is what users of such engines write."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, UUID]:
        yield from ()
        return self


def create_table_artifact(
    table: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]] | Any,
    key: str | None = None,
    description: str | None = None,
) -> UUID:
    """Keep a table with the run, and return the artifact's id.

    Args:
        table: A list of rows (dicts, or lists), a dict of columns, or a frame of pandas, polars or Arrow. NaN becomes
            null; what JSON lacks becomes text.
        key: The name that versions of it share, over runs: `a-z`, `0-9` and `-`.
        description: For people, in Markdown.

    Raises:
        ParameterError: If it is no table, or too large.
        InvalidNameError: If the key is none.
    """
    return _keep("table", plain_table(table), key, description)


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Keep a text in Markdown with the run, and return the artifact's id; arguments and errors as for a table."""
    return _keep("markdown", _text(markdown, "markdown"), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Keep a link with the run, and return the artifact's id.

    Args:
        link: A URL, or a path.
        link_text: What is shown for it.
        key: As for a table.
        description: As for a table.

    Raises:
        ParameterError: If a browser would run it instead of following it (`javascript:`), or it is too large.
        InvalidNameError: If the key is none.
    """
    target = _link(link, "link", _RUNS_CODE)
    return _keep("link", {"link": target, "text": _text(link_text or link, "link_text")}, key, description)


def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """Keep the place of an image with the run, and return the artifact's id.

    Args:
        image_url: Where it is; or the image itself, as `data:image/png;base64,...`.
        key: As for a table.
        description: As for a table.

    Raises:
        ParameterError: If it is no such URL, or too large.
        InvalidNameError: If the key is none.
    """
    url = _link(image_url, "image_url", _RUNS_CODE - {"data"})
    if url.lower().startswith("data:") and not url.lower().startswith("data:image/"):
        raise ParameterError("image_url is a data: URL of something else than an image", parameter="image_url")
    return _keep("image", {"url": url}, key, description)


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """Show how far the run is, and return the artifact's id, for `update_progress_artifact`.

    Args:
        progress: From 0 to 100; what is outside is taken as 0 or 100.
        key: As for a table.
        description: As for a table.

    Raises:
        ParameterError: If it is no number.
        InvalidNameError: If the key is none.
    """
    return _keep("progress", {"progress": _percent(progress)}, key, description)


def update_progress_artifact(artifact_id: UUID | str, progress: float, description: str | None = None) -> UUID:
    """Show how far the run is now, and return the artifact's id.

    Args:
        artifact_id: What `create_progress_artifact` returned, here or in another process.
        progress: From 0 to 100; what is outside is taken as 0 or 100.
        description: A new one; the old one stays if not given.

    Raises:
        ParameterError: If it is no number, or the id is none.
    """
    try:
        known = _ArtifactId(str(artifact_id))
    except ValueError:
        raise ParameterError(
            f"artifact_id is the UUID that create_progress_artifact returned, not {str(artifact_id)[:60]!r}",
            parameter="artifact_id",
        ) from None
    return _keep("progress", {"progress": _percent(progress)}, None, description, known)


async def acreate_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> UUID:
    """As `create_table_artifact`."""
    return create_table_artifact(table, key, description)


async def acreate_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """As `create_markdown_artifact`."""
    return create_markdown_artifact(markdown, key, description)


async def acreate_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """As `create_link_artifact`."""
    return create_link_artifact(link, link_text, key, description)


async def acreate_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """As `create_image_artifact`."""
    return create_image_artifact(image_url, key, description)


async def acreate_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """As `create_progress_artifact`."""
    return create_progress_artifact(progress, key, description)


async def aupdate_progress_artifact(artifact_id: UUID | str, progress: float, description: str | None = None) -> UUID:
    """As `update_progress_artifact`."""
    return update_progress_artifact(artifact_id, progress, description)


def check_key(key: str) -> str:
    """Return a key if it may be one.

    Raises:
        InvalidNameError: If it is anything else; the message offers the nearest that may.
    """
    if isinstance(key, str) and _KEY.match(key):
        return key
    nearest = _NO_KEY.sub("-", str(key).lower()).strip("-")[:200]
    hint = f"; for example {nearest!r}" if nearest else ""
    raise InvalidNameError(
        f"{ascii(key)[:80]} cannot be the key of an artifact: use 1 to 200 of a-z, 0-9 and -{hint}", name=str(key)
    )


# --- what is told -----------------------------------------------------------------------------------------------------


def _keep(kind: str, value: Any, key: str | None, description: str | None, known: UUID | None = None) -> UUID:
    """Tell the recorder of an artifact, and return its id."""
    if key is not None:
        check_key(key)
    data = json.dumps(mask_within(value), separators=(",", ":"), allow_nan=False)
    if len(data) > MAX_DATA:  # ASCII, so that these are bytes
        raise ParameterError(
            f"this {kind} artifact has {len(data):,} bytes of JSON, and {MAX_DATA:,} is the most; show a part or a"
            " summary of it, and keep the whole as a result, or in a file that a link artifact leads to",
            parameter=kind,
        )
    artifact_id = _ArtifactId(new_id()) if known is None else known
    run_id, flow_run_id, recorder, clock = _surroundings()
    if recorder is not None:
        recorder.record(
            ArtifactKept(
                str(artifact_id),
                kind,
                data,
                clock.now(),
                key,
                mask(_text(description or "", "description"))[:_DESCRIPTION],
                run_id,
                flow_run_id,
            )
        )
    return artifact_id


def _surroundings() -> tuple[str | None, str | None, Recorder | None, Clock]:
    """Return the run whose code this is, the flow run that it is part of, who keeps their history, and its clock."""
    context = CURRENT.get()
    if context is None:
        return None, None, default_recorder(), SYSTEM_CLOCK
    flow = FlowRunContext.get()
    run_id = context.task_run.id if isinstance(context, TaskRunContext) else context.flow_run.id
    world = context.engine.world
    return run_id, None if flow is None else flow.flow_run.id, world.recorder, world.clock


def _text(value: object, parameter: str) -> str:
    if not isinstance(value, str):
        raise ParameterError(f"{parameter} is a text, not a {type(value).__name__}", parameter=parameter)
    return text_of(value)


def _link(value: object, parameter: str, refused: frozenset[str]) -> str:
    text = _text(value, parameter).strip()
    try:
        # Browsers leave out control characters before they look for a scheme.
        scheme = urlsplit("".join(filter(str.isprintable, text))).scheme.lower()
    except ValueError:
        scheme = ""
    if not text or scheme in refused:
        what = f"a {scheme}: URL, which a browser would run" if text else "empty"
        raise ParameterError(f"{parameter} is {what}; give the place of something", parameter=parameter)
    return text


def _percent(progress: Any) -> float:
    try:
        value = math.nan if isinstance(progress, str | bytes) else float(progress)  # also of numpy's numbers
    except (TypeError, ValueError):
        value = math.nan
    if math.isnan(value):
        raise ParameterError(f"progress is a number from 0 to 100, not {str(progress)[:60]!r}", parameter="progress")
    return min(100.0, max(0.0, value))
