"""Names that are needed before anything heavy is."""

from typing import Final

__all__ = ["DATABASE_NAME", "TAG_PREFIX"]

DATABASE_NAME: Final = "state.db"
"""The shared file, in the home."""

TAG_PREFIX: Final = "tag:"
"""The limit `tag:eu` is for task runs that have the tag `eu`."""
