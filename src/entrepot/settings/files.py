"""Changing the settings file: comments and order stay, and no reader sees half of it."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from entrepot._folders import make_folders, sync_folder
from entrepot.errors import ConfigurationError
from entrepot.settings.model import Setting, nearest, parse, setting_named
from entrepot.settings.reading import config_path

__all__ = ["set_value", "unset_value"]


def set_value(name: str, value: object) -> Path:
    """Keep a setting in the file, durably.

    Args:
        name: The setting, or its variable.
        value: As text or typed.

    Returns:
        The file.

    Raises:
        ConfigurationError: If there is no such setting, it may not be that, or the file cannot be changed.
    """
    setting = setting_named(name)
    if not setting.in_file:
        raise ConfigurationError(
            f"{setting.name} cannot be kept in the file, which lies in it; set the variable {setting.variable}",
            setting=setting.name,
        )
    typed = parse(setting, value, where="the value")
    path = config_path()
    with _editing(path) as document:
        document[setting.name] = typed
    return path


def unset_value(name: str) -> bool:
    """Remove a setting from the file; return whether it was there.

    A name that is no setting is removed where the file has it: that is how a slip is mended.

    Raises:
        ConfigurationError: If there is no such setting and the file has none of that name, or it cannot be changed.
    """
    path = config_path()
    if not path.exists():
        setting_named(name)
        return False
    with _editing(path) as document:
        key = name if name in document else _known_or_refuse(name, document).name
        return document.pop(key, None) is not None


def _known_or_refuse(name: str, document: tomlkit.TOMLDocument) -> Setting:
    try:
        return setting_named(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}{nearest(name, document)}", setting=name) from None


@contextmanager
def _editing(path: Path) -> Iterator[tomlkit.TOMLDocument]:
    """Give the document to be changed, alone; then put the new one in place, durably."""
    try:
        if not path.parent.is_dir():
            make_folders(os.path.abspath(path.parent))  # noqa: PTH100  links on the way stay as they are
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two editors at once: neither change is lost
        try:
            document = tomlkit.parse(path.read_bytes()) if path.exists() else tomlkit.document()
        except (TOMLKitError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the settings in {path} are not TOML: {error}; mend the line, or move the file away", setting=str(path)
            ) from None
        before = document.as_string()
        yield document
        after = document.as_string()
        if after != before:
            _replace(path, after.encode())
        sync_folder(path.parent)  # where nothing changed, too: who wrote it may have died before
    except OSError as error:
        raise _unusable(path, error) from None
    finally:
        os.close(folder)


def _replace(path: Path, data: bytes) -> None:
    target = path.resolve()  # a file that is a link (dotfiles under version control) stays one
    descriptor, temporary = tempfile.mkstemp(prefix=".config-", suffix=".toml", dir=target.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    reason = error.strerror or type(error).__name__
    return ConfigurationError(
        f"the settings in {path} cannot be changed: {reason}; nothing was changed", setting=str(path)
    )
