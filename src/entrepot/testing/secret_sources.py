"""What every source of secrets must keep to, as tests to inherit.

class TestMySource(SecretSourceContract):
    def make_source(self):
        return MySource()

    def known(self):
        return {"prod/db": "the password", "prod/key": b"..."}

    def unknown(self):
        return ["prod/none"]

    def malformed(self):
        return [""]
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from entrepot.errors import SecretReferenceError
from entrepot.protocols.secret_source import SecretSource
from entrepot.testing._asserting import check

__all__ = ["SecretSourceContract"]


class SecretSourceContract(ABC):
    """Inherit it in a class whose name starts with `Test`, and define what it asks for."""

    @abstractmethod
    def make_source(self) -> SecretSource:
        """Return a source, made as Entrepot makes it: without arguments."""

    @abstractmethod
    def known(self) -> Mapping[str, str | bytes]:
        """Return secrets that are there, by what stands after `scheme://`; one at least, of 8 characters or more."""

    @abstractmethod
    def unknown(self) -> Sequence[str]:
        """Return what is well written, and is not there."""

    @abstractmethod
    def malformed(self) -> Sequence[str]:
        """Return what is no reference of this scheme."""

    def test_it_is_a_source(self) -> None:
        """It has what the protocol asks for."""
        check(isinstance(self.make_source(), SecretSource), "it has no method `get`")

    def test_a_secret_is_given_as_it_is(self) -> None:
        """Text or bytes, whole; the same one at the second time of asking, and from a new source."""
        known = self.known()
        check(bool(known), "known() returned nothing")
        source = self.make_source()
        for rest, secret in known.items():
            for asked in (source, source, self.make_source()):
                found = asked.get(rest)
                check(type(found) is type(secret), f"{rest} was given as {type(found).__name__}")
                check(found == secret, f"what was given for {rest} is not the secret")

    def test_what_is_not_there_is_an_error(self) -> None:
        """Never an empty secret, a default or None."""
        for rest in self.unknown():
            self._refuses(rest)

    def test_what_is_malformed_is_an_error(self) -> None:
        """The message says how it is written."""
        for rest in self.malformed():
            self._refuses(rest)

    def test_it_does_not_show_what_it_gave(self) -> None:
        """Its repr has no secret in it."""
        source = self.make_source()
        for rest, secret in self.known().items():
            source.get(rest)
            text = secret if isinstance(secret, str) else secret.decode("latin-1")
            check(text not in repr(source), "its repr shows a secret")

    def _refuses(self, rest: str) -> None:
        try:
            self.make_source().get(rest)
        except SecretReferenceError as error:
            check(bool(str(error).strip()), f"the error for {rest!r} says nothing")
            texts = [each if isinstance(each, str) else each.decode("latin-1") for each in self.known().values()]
            check(not any(text in str(error) for text in texts), f"the error for {rest!r} has a secret in it")
        except Exception as error:
            raise AssertionError(f"for {rest!r} it raised {type(error).__name__}, not SecretReferenceError") from error
        else:
            raise AssertionError(f"it gave something for {rest!r}")
