"""Entry points that other libraries follow by themselves: file systems of fsspec, dialects of SQLAlchemy.

A stored block names one as a protocol or a driver. So the policy for plugins is asked here, before the library is: what
it refuses is not imported by way of that library, either.
"""

from dataclasses import replace
from typing import Final

from entrepot.errors import PluginDeniedError
from entrepot.plugins._standing import policy
from entrepot.plugins.discovery import normalise

__all__ = ["FILE_SYSTEMS", "SQL_DIALECTS", "SQL_PLUGINS", "check_foreign"]

FILE_SYSTEMS: Final = "fsspec.specs"
"""By protocol."""

SQL_DIALECTS: Final = "sqlalchemy.dialects"
"""By dialect, or dialect and driver with a dot between them."""

SQL_PLUGINS: Final = "sqlalchemy.plugins"
"""By what the option `plugin` of a URL says."""

_KINDS: Final = {FILE_SYSTEMS: "file system", SQL_DIALECTS: "SQL dialect", SQL_PLUGINS: "plugin of SQLAlchemy"}
# What our own extras install: it needs no place in `plugins_allow`, as our own plugins need none.
_OURS: Final = frozenset({"entrepot", "adlfs", "fsspec", "gcsfs", "s3fs", "sqlalchemy"})


def check_foreign(group: str, *names: str) -> None:
    """See that the settings allow every distribution that claims a name in a group of another library.

    Raises:
        PluginDeniedError: If they do not; nothing was imported.
    """
    said = policy()
    if said is None:
        return
    from importlib.metadata import entry_points  # noqa: PLC0415  only where there is a policy

    for point in entry_points(group=group):
        distribution = point.dist.name if point.dist is not None else ""
        if point.name not in names or not distribution:
            continue
        asked = replace(said, allow=(), strict=False) if normalise(distribution) in _OURS else said
        if why := asked.refusal(distribution):
            raise PluginDeniedError(
                f"the {_KINDS[group]} {point.name!r} of {distribution} is not allowed here, and nothing of it was"
                f" imported: {why}",
                group=group,
                name=point.name,
                distribution=distribution,
            )
