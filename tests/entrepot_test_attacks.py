"""For the attacks: a victim with blocks and keys, and what an attacker can do to the bytes of both."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot import errors, home
from entrepot.blocks.system import Secret, String
from entrepot.protocols.storage import Storage
from entrepot.storage import LocalStorage

TREASURES = ("first treasure of a", "second treasure of a", "treasure of b")
"""The secrets of a victim: no error may show one."""


@dataclass(frozen=True)
class Victim:
    """Somebody who keeps three blocks: `secret/a` in two versions, `secret/b` and `string/a`.

    Attributes:
        home: Their home.
        storage: Where their documents lie, as bytes: what the attacker can write.
        ring_file: Their keyring, or None where it is in a variable.
        marks: Whether their home remembers which versions it has seen.
    """

    home: Path
    storage: Storage
    ring_file: Path | None
    marks: bool

    @property
    def stride(self) -> int:
        """Which bytes of a document are tried: in memory each of them."""
        return 7 if isinstance(self.storage, LocalStorage) else 1

    def settle_in(self) -> None:
        Secret(value=TREASURES[0]).save("a")
        Secret(value=TREASURES[1]).save("a", overwrite=True)
        Secret(value=TREASURES[2]).save("b")
        String(value="text").save("a")

    def lives_well(self) -> None:
        """Without an attack, all that was saved is there."""
        assert Secret.load("a").get() == TREASURES[1]
        assert Secret.load("a", version=1).get() == TREASURES[0]
        assert Secret.load("b").get() == TREASURES[2]
        assert String.load("a").value == "text"
        assert {(ref.slug, ref.name) for ref in (*Secret.list(), *String.list())} >= {
            ("secret", "a"),
            ("secret", "b"),
            ("string", "a"),
        }

    def objects(self) -> dict[str, bytes]:
        return {info.path: bytes(self.storage.get(info.path)) for info in self.storage.list()}

    def write(self, changes: Mapping[str, bytes | None]) -> None:
        for path, content in changes.items():
            self.put(path, content)

    def put(self, path: str, content: bytes | None) -> None:
        """Write an object as it is, or take it away."""
        if content is None:
            self.storage.delete(path)
        elif isinstance(self.storage, LocalStorage):
            file = Path(self.storage.location, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)  # an attacker syncs no disk
        else:
            self.storage.put(path, content)

    @contextmanager
    def attacked(self, changes: Mapping[str, bytes | None]) -> Iterator[None]:
        """Change objects, and change them back: before and after all is well, and meanwhile nothing is written."""
        self.lives_well()
        before = self.objects()
        self.write(changes)
        during = self.objects()
        yield
        assert self.objects() == during, "what is refused is left as it is: it may be evidence"
        self.write({path: before.get(path) for path in changes})
        self.lives_well()

    def ring(self) -> bytes:
        return bytes(home.ring().to_document())

    @contextmanager
    def other_ring(self, document: bytes, *, anew: bool = True) -> Iterator[None]:
        """Put another document in the place of the keyring, as a new process finds it (or one that runs)."""
        self.lives_well()
        before, held = self.objects(), self.ring()
        self.keep_ring(document)
        if anew:
            self.starts_anew()
        yield
        assert self.objects() == before, "what is saved is not touched under another keyring"
        assert self._kept() == document, "a keyring that is refused is left as it is"
        self.keep_ring(held)
        self.starts_anew()
        self.lives_well()

    def starts_anew(self) -> None:
        """Forget the keyring, as a new process of the victim does not know it."""
        home._rings.clear()

    def keep_ring(self, document: bytes) -> None:
        if self.ring_file is None:
            os.environ["ENTREPOT_KEYRING"] = document.decode("utf-8", "surrogateescape")
        else:
            self.ring_file.write_bytes(document)

    def _kept(self) -> bytes:
        if self.ring_file is None:
            return os.environ["ENTREPOT_KEYRING"].encode("utf-8", "surrogateescape")
        return self.ring_file.read_bytes()


@contextmanager
def refused(kind: type[errors.EntrepotError], says: str) -> Iterator[None]:
    """An attack is refused by an error of ours, of this very kind, that says what to do and shows no secret."""
    with pytest.raises(errors.EntrepotError) as caught:
        yield
    error = caught.value
    assert type(error) is kind, repr(error)
    assert type(error).__module__ == errors.__name__
    said = "\n".join([str(error), *getattr(error, "__notes__", [])])
    assert re.search(says, said), said
    assert not [treasure for treasure in TREASURES if treasure in said]


def path_of(slug: str, name: str, version: int) -> str:
    return f"{slug}/{name}/{version:08d}.json"
