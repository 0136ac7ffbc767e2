"""What is set now: the environment over the file over the defaults, read on demand."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from entrepot.errors import ConfigurationError
from entrepot.settings.model import PREFIX, SETTINGS, Settings, masked, nearest, parse

__all__ = ["CONFIG_NAME", "SettingView", "config_path", "current", "home_folder", "view"]

CONFIG_NAME = "config.toml"

_HOME = SETTINGS["home"]
_VARIABLES = tuple(setting.variable for setting in SETTINGS.values())
# Variables of other parts: the keyring, blocks given by the environment, a server's address, switches of CLI and tests.
_OTHERS = ("ENTREPOT_KEYRING", "ENTREPOT_BLOCK__", "ENTREPOT_API_", "ENTREPOT_DEBUG", "ENTREPOT_TEST_")
_BLOCK_HINT = "; the variable of a block is ENTREPOT_BLOCK__TYPE__NAME"

_Look = tuple[tuple[str | None, ...], tuple[int, int, int] | None]

_known: tuple[_Look, str, Settings] | None = (
    None  # the last look: environment and file, path of the file, what they said
)
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class SettingView:
    """One setting as a person sees it.

    Attributes:
        name: `results_storage`.
        value: Typed; credentials in URLs masked.
        source: `default`, `environment`, or the path of the file.
        doc: What it does, in one line.
        variable: The variable that sets it.
    """

    name: str
    value: object
    source: str
    doc: str
    variable: str


def current() -> Settings:
    """Return the settings as they are now.

    A call where nothing has changed costs a look at the variables and at the file's time and size: some microseconds.

    Raises:
        ConfigurationError: If a variable or the file says what cannot be.
    """
    global _known  # noqa: PLW0603  one immutable tuple, replaced whole: threads need no lock
    get = os.environ.get
    variables = tuple([get(variable) for variable in _VARIABLES])
    known = _known
    if known is not None and known[0][0] == variables and known[0][1] == _signature(known[1]):
        return known[2]
    home = home_folder()
    path = os.path.join(home, CONFIG_NAME)  # noqa: PTH118  text: it is looked at on every call
    # The look comes before the reading: a change in between is then seen by the next call.
    look = (variables, _signature(path))
    values: dict[str, Any] = {"home": home}
    for name, (raw, where) in _given(home).items():
        values[name] = parse(SETTINGS[name], raw, where=where)
    settings = Settings(**values)
    _warn_of_unknown_variables()
    _known = (look, path, settings)
    return settings


def view() -> list[SettingView]:
    """Return every setting with its value, where that comes from, and what it does.

    Raises:
        ConfigurationError: As `current`.
    """
    settings = current()
    given = _given(settings.home)
    rows = []
    for setting in SETTINGS.values():
        value = getattr(settings, setting.name)
        source = "default"
        if os.environ.get(setting.variable):
            source = "environment"
        elif setting.name in given:
            source = str(settings.home / CONFIG_NAME)
        shown = masked(value) if isinstance(value, str) else value
        rows.append(SettingView(setting.name, shown, source, setting.doc, setting.variable))
    return rows


def home_folder() -> Path:
    """Return the home folder: `ENTREPOT_HOME`, or `~/.entrepot`. It is not made; whoever writes first makes it.

    Raises:
        ConfigurationError: If the variable cannot be a path.
    """
    raw = os.environ.get(_HOME.variable)
    home: Path = parse(_HOME, raw or _HOME.default, where=f"the variable {_HOME.variable}")
    return home


def config_path() -> Path:
    """Return where the settings file is, or would be."""
    return home_folder() / CONFIG_NAME


def _given(home: Path) -> dict[str, tuple[object, str]]:
    """Return what the file and the environment set, by name, each with its source for messages."""
    path = home / CONFIG_NAME
    given: dict[str, tuple[object, str]] = {name: (raw, f"{name} in {path}") for name, raw in _read_file(path).items()}
    for name, setting in SETTINGS.items():
        raw = os.environ.get(setting.variable)
        if raw and setting.in_file:  # an empty variable sets nothing, as in most tools
            given[name] = (raw, f"the variable {setting.variable}")
    return given


def _read_file(path: Path) -> Mapping[str, object]:
    """Return what the file says; an absent file says nothing."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(
            f"the settings in {path} cannot be read: {error.strerror}; make it a readable file, or move it away",
            setting=str(path),
        ) from None
    import tomllib  # noqa: PLC0415  most homes have no settings file: they do not pay for a parser

    try:
        values = tomllib.loads(data.decode())
    except ValueError as error:  # also what is not UTF-8
        raise ConfigurationError(
            f"the settings in {path} are not TOML: {error}; mend the line, or move the file away", setting=str(path)
        ) from None
    for name in values:
        if name not in SETTINGS or not SETTINGS[name].in_file:
            _refuse(name, path)
    return values


def _refuse(name: str, path: Path) -> NoReturn:
    if name == _HOME.name:
        raise ConfigurationError(
            f"home is set in {path}, which itself lies in the home; remove it and set the variable {_HOME.variable}",
            setting=name,
        )
    known = [setting.name for setting in SETTINGS.values() if setting.in_file]
    raise ConfigurationError(
        f"{path} sets {name!r}, and there is no such setting{nearest(name, known)}; known: {', '.join(known)}"
        f" (`entrepot config unset {name}` removes it)",
        setting=name,
    )


def _signature(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  on every call: a Path costs more than the call
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _warn_of_unknown_variables() -> None:
    """Say once that a variable sets nothing: a slip in a name would otherwise go unseen. Its value is not shown."""
    for variable in [variable for variable in os.environ if variable.startswith(PREFIX)]:
        if variable in _VARIABLES or variable.startswith(_OTHERS) or variable in _warned:
            continue
        import logging  # noqa: PLC0415  only a slip pays for it

        _warned.add(variable)
        is_block = "__" in variable and variable.startswith("ENTREPOT_BLOCK")
        logging.getLogger("entrepot.settings").warning(
            "the variable %s sets nothing%s",
            variable,
            _BLOCK_HINT if is_block else nearest(variable, _VARIABLES),
        )
