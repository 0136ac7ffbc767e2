"""Finding artifacts again from code."""

from collections.abc import Sequence
from typing import Self

from entrepot.errors import ArtifactNotFoundError
from entrepot.runs import default_path, default_recorder
from entrepot.runs.artifacts import ArtifactHistory, KeptArtifact

__all__ = ["Artifact"]


class Artifact(KeptArtifact):
    """An artifact of the run history in the home; its attributes are those of `KeptArtifact`."""

    __slots__ = ()

    @classmethod
    def get(cls, key: str) -> Self | None:
        """Return the newest artifact of a key (or the one with this id), or None.

        Raises:
            EntrepotError: If the history cannot be read.
        """
        default_recorder().flush()  # what this process made a moment ago is there, too
        try:
            return cls._of(ArtifactHistory(default_path()).get(key))
        except ArtifactNotFoundError:
            return None

    @classmethod
    def list(cls, *, run_id: str | None = None, key: str | None = None, limit: int | None = 20) -> Sequence[Self]:
        """Return artifacts, the ones that changed last first; arguments and errors as of `ArtifactHistory.list`."""
        default_recorder().flush()
        return [cls._of(kept) for kept in ArtifactHistory(default_path()).list(run_id=run_id, key=key, limit=limit)]

    @classmethod
    async def aget(cls, key: str) -> Self | None:
        """As `get`."""
        import asyncio  # noqa: PLC0415  who is async has loaded it

        return await asyncio.to_thread(cls.get, key)

    @classmethod
    async def alist(
        cls, *, run_id: str | None = None, key: str | None = None, limit: int | None = 20
    ) -> Sequence[Self]:
        """As `list`."""
        import asyncio  # noqa: PLC0415  who is async has loaded it

        return await asyncio.to_thread(lambda: cls.list(run_id=run_id, key=key, limit=limit))

    @classmethod
    def _of(cls, kept: KeptArtifact) -> Self:
        return cls(**{name: getattr(kept, name) for name in KeptArtifact.__slots__})
