"""Secrets of this machine: `env://NAME`, `file:///run/secrets/x`, `keyring://service/user`, `block://secret/name`."""

import os
import re
import stat
from typing import Final
from urllib.parse import unquote, urlsplit

from entrepot.errors import SecretReferenceError

__all__ = ["Environment", "Files", "OperatingSystem", "SavedBlocks", "path_of"]

_MAX_SIZE: Final = 1 << 20
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


class Environment:
    """`env://NAME`: a variable of this process."""

    def get(self, rest: str) -> str | bytes:
        """Return its value: text; what is no UTF-8 text, as bytes.

        Raises:
            SecretReferenceError: If it is not set.
        """
        if not _VARIABLE.match(rest):
            raise SecretReferenceError("env:// takes the name of a variable, as in env://API_KEY")
        if rest not in os.environ:
            raise SecretReferenceError(f"the variable {rest} is not set; set it, and try again")
        value = os.environ[rest]
        return value if value.isascii() else _text_or_bytes(os.fsencode(value), cut=False)


class Files:
    """`file:///run/secrets/x`: the content of a file, up to a MiB; `%20` stands for a space."""

    def get(self, rest: str) -> str | bytes:
        """Return the content: text without its last line end, which `echo` and editors put there; else bytes.

        Raises:
            SecretReferenceError: If the path is not absolute, or the file cannot be read, is too long, or is none that
                comes to an end: a pipe, a device, a folder.
        """
        if not rest.startswith("/"):
            raise SecretReferenceError("file:// takes an absolute path, as in file:///run/secrets/api-key")
        path = path_of(rest)
        try:
            content = _content(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it can be no path"
            problem = f"{path} cannot be read: {reason}; see that it is there, and readable for this user"
        else:
            if content is None:
                problem = f"{path} is no regular file but a folder, pipe or device; write the secret into a file"
            elif len(content) <= _MAX_SIZE:
                return _text_or_bytes(content)
            else:
                problem = f"{path} is longer than {_MAX_SIZE} bytes: no secret is"
            del content
        raise SecretReferenceError(problem)


def path_of(rest: str) -> str:
    """Return the path that `file://` and a rest name."""
    return unquote(urlsplit(f"file://{rest}").path)


def _content(path: str) -> bytes | None:
    """Return what a file has, and no more than one byte beyond what may be; None if it is no regular file."""
    # Without waiting: to open a pipe that nobody writes to would take for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_MAX_SIZE + 1)
    finally:
        os.close(descriptor)


def _text_or_bytes(content: bytes, *, cut: bool = True) -> str | bytes:
    try:
        text = content.decode()
        return text.removesuffix("\n").removesuffix("\r") if cut else text
    except UnicodeDecodeError:
        return content


class OperatingSystem:
    """`keyring://service/user`: the keyring of the operating system, through the library `keyring`."""

    def get(self, rest: str) -> str:
        """Return the password.

        Raises:
            SecretReferenceError: If there is none, no keyring, or it does not open.
        """
        service, _, user = rest.rpartition("/")
        if not service or not user:
            raise SecretReferenceError("keyring:// takes a service and a user, as in keyring://github/ci-bot")
        service, user = unquote(service), unquote(user)
        try:
            import keyring  # noqa: PLC0415  who has no such reference needs no such library
        except ImportError:
            raise SecretReferenceError(
                'the library that opens it is not installed: pip install "entrepot[keyring]"'
            ) from None
        try:
            found = keyring.get_password(service, user)
        except Exception as error:  # noqa: BLE001  each backend has errors of its own
            problem = f"the keyring of the operating system does not open ({type(error).__name__}); unlock it"
        else:
            if found is not None:
                return found
            problem = f"there is no such password; set it: keyring set {service} {user}"
        raise SecretReferenceError(problem)


class SavedBlocks:
    """`block://secret/name`, `block://type/name/field`: a field of another block, `value` unless it says which.

    In a block of a shared store it is another one of that store, unless this machine's owner listed the reference.
    """

    def get(self, rest: str) -> str | bytes:
        """Return the text, bytes or secret in the field.

        Raises:
            SecretReferenceError: If there is no such field, or something else in it.
            EntrepotError: As `Block.load`.
        """
        slug, _, more = rest.partition("/")
        name, _, field = more.partition("/")
        field = field or "value"
        if not slug or not name or not field.isidentifier():
            raise SecretReferenceError("block:// takes type and name of a block, as in block://secret/api-key")

        # Blocks know references, so these find blocks when they are used.
        from entrepot.blocks._lookups import asked_by  # noqa: PLC0415  as above

        store = asked_by()
        if store:
            from entrepot.blocks.teams import load_from  # noqa: PLC0415  as above

            block = load_from(store, slug, name)
        else:
            from entrepot.blocks.core import Block  # noqa: PLC0415  as above

            block = Block.load(f"{slug}/{name}")
        known = [*type(block).model_fields, *(block.model_extra or {})]
        if field not in known:
            raise SecretReferenceError(f"the block {slug}/{name} has no field {field}; known: {', '.join(known)}")
        value: object = getattr(block, field)
        if hasattr(type(value), "get_secret_value"):
            value = value.get_secret_value()  # type: ignore[attr-defined]
        if isinstance(value, str | bytes):
            return value
        raise SecretReferenceError(f"the field {field} of the block {slug}/{name} holds no text")
