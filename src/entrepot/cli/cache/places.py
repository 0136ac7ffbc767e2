"""Which store a result is in, where the history only says its place: the default one, a saved block's, or a folder."""

import contextlib
import re

from entrepot.cli.output import ok
from entrepot.cli.records import open_store
from entrepot.errors import EntrepotError, MissingResultError
from entrepot.results.store import ResultStore

__all__ = ["Stores"]


class Stores:
    """Opens the stores that one command needs, each once.

    Args:
        named: What `--storage` says; None if it was not given.
    """

    def __init__(self, named: str | None) -> None:
        self._named = named
        self._known: dict[str, ResultStore] = {}
        self._blocks: dict[str, ResultStore] | None = None
        self._problems: list[str] = []

    def default(self) -> ResultStore:
        """Return the store that was named, or that of the settings.

        Raises:
            EntrepotError: If it cannot be opened.
        """
        return open_store(self._named)

    def at(self, location: str) -> ResultStore:
        """Return the store of a result.

        Args:
            location: Where its bytes are, as the history says. It does not count where a store was named.

        Raises:
            MissingResultError: If it is in a store that nothing here leads to.
            EntrepotError: If the store cannot be opened.
        """
        default = self.default()
        if self._named is not None or _is_in(location, default):
            return default
        root = re.sub(r"/(?:records|payloads|versions)/[^/]+/.*\Z", "", location)
        if root not in self._known:
            self._known[root] = self._opened(root, location, default)
        return self._known[root]

    def _opened(self, root: str, location: str, default: ResultStore) -> ResultStore:
        if root != location and root.startswith("/"):
            return open_store(root)
        # A URL alone says nothing of credentials, nor of an endpoint: a saved block does.
        for name, store in self._of_blocks().items():
            if _is_in(location, store):
                ok(f"(found through the block {name}: {store.location})")
                return store
        if root != location and "://" in root:
            ok(f"(no saved block leads to {root}: it is opened by its URL; --storage names another way)")
            return open_store(root)
        tried = f" ({'; '.join(self._problems)})" if self._problems else ""
        raise MissingResultError(
            f"the result of this run is in {location}, which is not in {default.location}, nor in the store of a saved"
            f" block{tried}; say with --storage which store that is"
        )

    def _of_blocks(self) -> dict[str, ResultStore]:
        """Return the stores of all saved storage blocks that can be loaded, the innermost places first."""
        if self._blocks is None:
            from entrepot.blocks import Block  # noqa: PLC0415  pydantic: only where a block may be the way
            from entrepot.plugins import BLOCKS  # noqa: PLC0415  as above

            found: dict[str, ResultStore] = {}
            for ref in Block.list():
                name = f"{ref.slug}/{ref.name}"
                with contextlib.suppress(EntrepotError):  # of a type that is not installed: no store of ours
                    if not hasattr(BLOCKS.get(ref.slug), "as_storage"):
                        continue
                    try:
                        found[name] = open_store(name)
                    except EntrepotError as error:
                        self._problems.append(f"the block {name} cannot be opened: {error}")
            self._blocks = dict(sorted(found.items(), key=lambda one: -len(one[1].location)))
        return self._blocks


def _is_in(location: str, store: ResultStore) -> bool:
    return location.startswith(f"{store.location.rstrip('/')}/")
