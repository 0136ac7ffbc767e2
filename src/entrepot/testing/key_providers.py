"""What every key provider must keep to, as tests to inherit.

::

    class TestMyProvider(KeyProviderContract):
        @pytest.fixture
        def provider(self, tmp_path):
            return MyProvider(tmp_path)

        @pytest.fixture
        def same(self, tmp_path):
            return lambda: MyProvider(tmp_path)
"""
# ruff: noqa: S101, D102  these are tests: they assert, their names say what, and numbers are expectations

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from entrepot.crypto.changing import change_keyring
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.providers import open_keyring
from entrepot.errors import KeyringChangedError, KeyringError, KeyringExistsError
from entrepot.protocols.keys import KeyProvider, LooksCheaply

__all__ = ["KeyProviderContract"]


class KeyProviderContract:
    """Inherit it in a class whose name starts with `Test`, with a fixture `provider` that keeps nothing yet.

    Attributes:
        writes: Whether it can keep a keyring. One that cannot is given it from outside: override `put`.
    """

    writes: ClassVar[bool] = True

    @pytest.fixture
    def same(self, provider: KeyProvider) -> Callable[[], KeyProvider]:
        """Return what opens the provider of the same place once more, as another process would."""
        return lambda: provider

    def put(self, provider: KeyProvider, document: bytes) -> None:
        """Have a first document kept."""
        provider.create(document)

    # --- every provider -----------------------------------------------------------------------------------------

    def test_there_is_nothing_at_first(self, provider: KeyProvider) -> None:
        assert provider.read() is None

    def test_what_is_kept_is_read_again(self, provider: KeyProvider, same: Callable[[], KeyProvider]) -> None:
        ring = _ring(50)
        self.put(provider, ring.to_document())
        for one in (provider, same()):
            read = Keyring.from_document(one.read() or b"", location="here")
            assert bytes(read.to_document()) == bytes(ring.to_document())

    def test_it_says_where_it_is_without_a_key(
        self, provider: KeyProvider, same: Callable[[], KeyProvider], capfd: pytest.CaptureFixture[str]
    ) -> None:
        ring = _ring()
        self.put(provider, ring.to_document())
        one = same()
        one.read()
        assert provider.location == one.location
        seen = capfd.readouterr()
        shown = [one.location, repr(one), str(one), repr(getattr(one, "__dict__", "")), seen.out, seen.err]
        assert one.location
        assert not [text for text in shown for form in _forms(ring) if form in text]

    def test_a_look_tells_one_state_from_another(self, provider: KeyProvider, same: Callable[[], KeyProvider]) -> None:
        if not isinstance(provider, LooksCheaply):
            pytest.skip("it cannot look")
        assert provider.look() is None
        ring = _ring()
        self.put(provider, ring.to_document())
        look = provider.look()
        assert look is not None
        other = same()
        assert isinstance(other, LooksCheaply)
        assert other.look() == look == provider.look()
        assert not [form for form in _forms(ring) if form in repr(look)]
        if self.writes:
            other.replace(ring.with_staged("block").to_document(), old=ring.to_document())
            assert provider.look() != look

    # --- those that keep ----------------------------------------------------------------------------------------

    def test_one_that_cannot_keep_says_so(self, provider: KeyProvider) -> None:
        if self.writes:
            pytest.skip("it can")
        ring = _ring()
        with pytest.raises(KeyringError):
            provider.create(ring.to_document())
        with pytest.raises(KeyringError):
            provider.replace(ring.to_document(), old=ring.to_document())
        assert provider.read() is None

    def test_a_second_first_document_is_refused(self, provider: KeyProvider, same: Callable[[], KeyProvider]) -> None:
        self._need_writes()
        first = _ring()
        provider.create(first.to_document())
        with pytest.raises(KeyringExistsError):
            same().create(_ring().to_document())
        assert bytes(provider.read() or b"") == bytes(first.to_document())

    def test_of_several_first_documents_one_wins(self, provider: KeyProvider, same: Callable[[], KeyProvider]) -> None:
        self._need_writes()
        start = threading.Barrier(6)

        def make(_: int) -> str:
            one = same()
            start.wait(60)
            return open_keyring(one, sealed_data=lambda: None).ring_id

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(make, range(6)))) == 1
        assert provider.read() is not None

    def test_another_document_takes_the_place_of_the_one_that_was_read(
        self, provider: KeyProvider, same: Callable[[], KeyProvider]
    ) -> None:
        self._need_writes()
        old = _ring()
        new = old.with_new_primary("block")
        provider.create(old.to_document())
        provider.replace(new.to_document(), old=old.to_document())
        assert bytes(same().read() or b"") == bytes(new.to_document())

    def test_what_another_program_changed_is_not_written_over(
        self, provider: KeyProvider, same: Callable[[], KeyProvider]
    ) -> None:
        self._need_writes()
        old = _ring()
        theirs = old.with_staged("block")
        provider.create(old.to_document())
        same().replace(theirs.to_document(), old=old.to_document())
        with pytest.raises(KeyringChangedError):
            provider.replace(old.with_staged("result").to_document(), old=old.to_document())
        assert bytes(provider.read() or b"") == bytes(theirs.to_document())

    def test_where_nothing_is_kept_nothing_is_replaced(self, provider: KeyProvider) -> None:
        self._need_writes()
        ring = _ring()
        with pytest.raises(KeyringChangedError):
            provider.replace(ring.to_document(), old=ring.to_document())
        assert provider.read() is None

    def test_changes_of_the_same_moment_are_all_kept(
        self, provider: KeyProvider, same: Callable[[], KeyProvider]
    ) -> None:
        self._need_writes()
        first = _ring()
        provider.create(first.to_document())

        def change(_: int) -> None:
            one = same()
            for _ in range(3):
                change_keyring(one, lambda ring: ring.with_staged("block"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(change, range(4)))
        ring = Keyring.from_document(provider.read() or b"", location="here")
        assert (ring.ring_id, ring.epoch) == (first.ring_id, 13)
        assert len(ring.all_keys()) == 2 + 12

    def _need_writes(self) -> None:
        if not self.writes:
            pytest.skip("it cannot keep a keyring")


def _ring(more: int = 0) -> Keyring:
    ring = Keyring.generate()
    for _ in range(more):
        ring = ring.with_staged("result")
    return ring


def _forms(ring: Keyring) -> list[str]:
    """Return the ways in which the material of a ring could show up in text."""
    keys = json.loads(bytes(ring.to_document()))["keys"]
    raw = [key["material"]["raw"] for key in keys]
    materials = [base64.b64decode(text) for text in raw]
    return [*raw, *(material.hex() for material in materials), *(repr(material)[2:-1] for material in materials)]
