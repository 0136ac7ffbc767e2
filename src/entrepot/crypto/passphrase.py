"""Keys from a passphrase (Argon2id): for exports of the keyring, and for a keyring that is kept under one.

Argon2id (RFC 9106) with 64 MiB and 3 passes, in one lane: with several lanes, OpenSSL 3 never comes back where two
threads derive at the same time. The parameters stand in the file beside a random salt, so that later versions may
choose others. What a file asks for is bounded: whoever can plant a file cannot make us fill the memory.
"""

import base64
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from entrepot._secrets import remember_secret
from entrepot.crypto._keys import hide
from entrepot.crypto._options import check_options
from entrepot.crypto.providers import FileKeyProvider
from entrepot.crypto.wrapping import Facts, WrappedKeyProvider
from entrepot.errors import ConfigurationError, KeyProviderError, KeyringError

__all__ = ["PASSPHRASE_VARIABLE", "Passphrase", "PassphraseKeyProvider", "read_passphrase", "why_weak"]

PASSPHRASE_VARIABLE: Final = "ENTREPOT_KEYRING_PASSPHRASE"  # noqa: S105  a name
NAME: Final = "passphrase"

_SHORTEST: Final = 12
_FEWEST: Final = 6  # different characters
_LONGEST: Final = 4096  # bytes
_SALT_SIZE: Final = 16
_NEW: Final[Facts] = {"kdf": "argon2id", "memory_kib": 65_536, "passes": 3, "lanes": 1}
_one_at_a_time = threading.Lock()  # a file may ask for several lanes, see above
_MOST: Final[Mapping[str, int]] = {"memory_kib": 1 << 20, "passes": 64, "lanes": 64}


def why_weak(passphrase: bytes) -> str:
    """Say why a passphrase may not seal anything new; "" if it may.

    Only what is plainly too little is refused: nobody can tell a good sentence from a known one by looking at it.
    """
    text = passphrase.decode("utf-8", "replace")
    if not text.strip():
        return "it is empty"
    if len(text) < _SHORTEST:
        return f"it has {len(text)} characters, and needs {_SHORTEST}; four or five random words are easy to keep"
    if len(set(text)) < _FEWEST:
        return f"it has {len(set(text))} different characters, and needs {_FEWEST}"
    return ""


def read_passphrase(path: Path) -> bytes:
    """Return the first line of a file.

    Raises:
        KeyringError: If it cannot be read, or holds more than one line.
    """
    try:
        with path.open("rb") as file:
            data = hide(file.read(_LONGEST + 2))
    except OSError as error:
        raise KeyringError(
            f"the passphrase cannot be read from {path}: {error.strerror or type(error).__name__}", location=str(path)
        ) from None
    line = hide(data.removesuffix(b"\n").removesuffix(b"\r"))
    if b"\n" in line or len(line) > _LONGEST:
        raise KeyringError(
            f"{path} holds no passphrase: it is more than one line of {_LONGEST} bytes", location=str(path)
        )
    return line


class Passphrase:
    """A passphrase that gives sealing keys.

    Args:
        ask: Returns it; called when a key is needed.
        purpose: What it is for, for messages.
    """

    name = NAME

    def __init__(self, ask: Callable[[], bytes], purpose: str) -> None:
        self._ask = ask
        self._purpose = purpose
        self._known: tuple[Facts, bytes, bytes] | None = None  # Argon2id takes its time: what was derived is kept

    def new_key(self, ring_id: str) -> tuple[bytes, Facts]:
        """Return a key under a fresh salt, or the one that this object had last.

        Raises:
            KeyringError: If the passphrase is too weak to seal anything.
        """
        del ring_id
        given = hide(self._ask())
        weak = why_weak(given)
        if self._known is not None and self._known[1] == given and not weak:
            return self._known[2], self._known[0]
        if weak:
            raise KeyringError(
                f"the passphrase for {self._purpose} is not taken: {weak}; choose another one", location=self._purpose
            )
        facts = dict(_NEW) | {"salt": base64.b64encode(os.urandom(_SALT_SIZE)).decode("ascii")}
        return self._derive(facts, given), facts

    def same_key(self, ring_id: str, facts: Facts) -> bytes:
        """Return the key of a salt and parameters.

        Raises:
            KeyringError: If they are none, or ask for too much.
        """
        del ring_id
        given = hide(self._ask())
        if self._known is not None and self._known[0] == dict(facts) and self._known[1] == given:
            return self._known[2]
        return self._derive(facts, given)

    def _derive(self, facts: Facts, given: bytes) -> bytes:
        numbers = {name: facts.get(name) for name in _MOST}
        try:
            salt = base64.b64decode(str(facts.get("salt")), validate=True)
        except ValueError:
            salt = b""
        bounded = all(type(number) is int and 0 < number <= _MOST[name] for name, number in numbers.items())
        if facts.get("kdf") != _NEW["kdf"] or len(salt) != _SALT_SIZE or not bounded:
            raise KeyringError(
                f"{self._purpose} asks for a key derivation that this version does not do, or that would take too much"
                " memory or time",
                location=self._purpose,
            )
        memory, passes, lanes = (int(str(numbers[name])) for name in ("memory_kib", "passes", "lanes"))
        try:
            function = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        except (UnsupportedAlgorithm, ValueError):
            function = None
        if function is None:
            raise KeyringError(
                f"{self._purpose} needs Argon2id, which the cryptography package here does not have (OpenSSL 3.2 or"
                " later does), or not with its parameters",
                location=self._purpose,
            )
        with _one_at_a_time:
            key = hide(function.derive(given))
        self._known = (dict(facts), given, key)
        return key


class PassphraseKeyProvider(WrappedKeyProvider):
    """Keeps the keyring in a file, sealed under a passphrase from a variable or a file.

    Args:
        file: Where.
        passphrase_file: Where the passphrase is; None for the variable `ENTREPOT_KEYRING_PASSPHRASE`.
    """

    def __init__(self, file: FileKeyProvider, passphrase_file: Path | None = None) -> None:
        self._passphrase_file = passphrase_file
        super().__init__(file, Passphrase(self._ask, f"the keyring {file.location}"))

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> Self:
        """Return the provider of a file: the target, or `keyring.json` in the home; `passphrase_file` is an option.

        Raises:
            ConfigurationError: If an option is unknown or names no file, or the target is a relative path.
        """
        check_options(NAME, options, "passphrase_file")
        given = options.get("passphrase_file")
        if given == "":
            raise ConfigurationError("the option passphrase_file names no file", setting="key_provider")
        file = FileKeyProvider.at(target, folder)
        return cls(file, Path(given).expanduser() if given else None)

    def _ask(self) -> bytes:
        if self._passphrase_file is not None:
            try:
                return read_passphrase(self._passphrase_file)
            except KeyringError as error:
                raise KeyProviderError(
                    f"{error}; the key provider passphrase needs it for {self.file.location}",
                    provider=NAME,
                    location=self.file.location,
                ) from None
        given = os.environ.get(PASSPHRASE_VARIABLE)
        if not given:
            raise KeyProviderError(
                f"the keyring {self.file.location} is kept under a passphrase, and there is none: set the variable"
                f" {PASSPHRASE_VARIABLE}, or name a file: ENTREPOT_KEY_PROVIDER=passphrase?passphrase_file=FILE",
                provider=NAME,
                location=self.file.location,
            )
        remember_secret(given)  # it is masked in what is logged
        return hide(given.encode("utf-8", "surrogateescape"))
