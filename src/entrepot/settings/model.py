"""What can be set: names, types, defaults, and what each value may be."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from entrepot._names import check_name
from entrepot.errors import ConfigurationError

__all__ = ["PREFIX", "SETTINGS", "Setting", "Settings", "masked", "nearest", "parse", "setting_named"]

PREFIX = "ENTREPOT_"

_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"} | {
    level: level for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
}
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    return _TRUTHS[_text(raw).lower()]


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw.strip()


def _level(raw: object) -> str:
    return _LEVELS[_text(raw).upper()]


def _progress(raw: object) -> str:
    if isinstance(raw, bool):  # TOML has a word for it, too
        return "on" if raw else "off"
    text = _text(raw).lower()
    return text if text == "auto" else "on" if _TRUTHS[text] else "off"


def _loggers(raw: object) -> tuple[str, ...]:
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple):
        raise TypeError
    names = tuple(name for name in map(_text, given) if name)
    if not all(name.isprintable() and name != "root" for name in names):
        raise ValueError
    return names


def _place(raw: object) -> str:
    text = _text(raw)
    if not text or not text.isprintable():
        raise ValueError
    return text


def _serializer(raw: object) -> str:
    text = _text(raw)
    for part in text.split("/"):
        check_name(part, what="serializer name")
    return text


def _folder(raw: object) -> Path:
    text = _text(raw)
    if not text or "\0" in text:
        raise ValueError
    # Absolute from the first look on: a later change of the working directory does not move the home.
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111  Path.absolute keeps "..", and these read no links


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, as read at one moment.

    Each can be given as the variable `ENTREPOT_<NAME>` or, but for `home`, as `name = value` in
    `$ENTREPOT_HOME/config.toml`; the variable wins.

    Attributes:
        home: The folder that holds everything a user keeps.
        logging_level: The level from which log lines are shown and kept.
        logging_to_history: Whether log lines of runs are kept in the run history.
        logging_extra_loggers: Names of loggers of other libraries whose lines belong to the runs that cause them.
        results_storage: Where results are kept; None for the folder `results` in the home.
        results_persist: Whether tasks and flows keep their results where they do not say.
        results_serializer: How results become bytes where a task does not say.
        results_encrypt: Whether results are encrypted before they leave the process.
        runs_record: Whether the history of runs is kept.
        blocks_storage: Where sealed block documents are kept; None for the folder `blocks` in the home.
        progress: Whether running flows are shown live: "auto", "on" or "off".
        check: Whether every cache key is made again in a second process, and results that change in place are found.
    """

    home: Path
    logging_level: str = "INFO"
    logging_to_history: bool = True
    logging_extra_loggers: tuple[str, ...] = ()
    results_storage: str | None = None
    results_persist: bool = False
    results_serializer: str = "pickle"
    results_encrypt: bool = False
    runs_record: bool = True
    blocks_storage: str | None = None
    progress: str = "auto"
    check: bool = False

    def __repr__(self) -> str:
        """Show every setting, places without credentials."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        shown = (f"{name}={(masked(value) if isinstance(value, str) else value)!r}" for name, value in values)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: how it is called, read and explained.

    Attributes:
        name: As in the file and in code: `results_storage`.
        variable: As in the environment: `ENTREPOT_RESULTS_STORAGE`.
        default: Its value where nothing sets it; for `home` the text `~/.entrepot`.
        allowed: What it may be, for people.
        doc: What it does, in one line.
        read: Turns text or a TOML value into the typed value; raises on anything else.
        in_file: Whether the file may set it (not `home`: it says where the file is).
    """

    name: str
    variable: str
    default: object
    allowed: str
    doc: str
    read: Callable[[object], object]
    in_file: bool


_DEFAULTS = {field.name: field.default for field in fields(Settings)} | {"home": "~/.entrepot"}


def _setting(name: str, read: Callable[[object], object], *, allowed: str, doc: str, in_file: bool = True) -> Setting:
    return Setting(name, PREFIX + name.upper(), _DEFAULTS[name], allowed=allowed, doc=doc, read=read, in_file=in_file)


_TRUE_OR_FALSE = "true or false"

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        setting.name: setting
        for setting in (
            _setting(
                "home",
                _folder,
                allowed="the path of a folder",
                doc="The folder that holds everything a user keeps.",
                in_file=False,
            ),
            _setting(
                "logging_level",
                _level,
                allowed="DEBUG, INFO, WARNING, ERROR or CRITICAL",
                doc="The level from which log lines are shown and kept.",
            ),
            _setting(
                "logging_to_history",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Keep log lines of runs in the run history.",
            ),
            _setting(
                "logging_extra_loggers",
                _loggers,
                allowed="names of loggers with commas between them, such as httpx,botocore",
                doc="Loggers of other libraries whose lines belong to the runs that cause them.",
            ),
            _setting(
                "results_storage",
                _place,
                allowed="a folder, a URL such as s3://bucket/prefix, or the name of a saved block such as s3/prod",
                doc="Where results are kept; by default the folder `results` in the home.",
            ),
            _setting(
                "results_persist",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Keep the results of tasks and flows that do not say.",
            ),
            _setting(
                "results_serializer",
                _serializer,
                allowed="the name of a serializer, such as json, pickle or compressed/json",
                doc="How results become bytes where a task does not say.",
            ),
            _setting(
                "results_encrypt",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Encrypt results before they leave the process.",
            ),
            _setting("runs_record", _flag, allowed=_TRUE_OR_FALSE, doc="Keep the history of runs."),
            _setting(
                "blocks_storage",
                _place,
                allowed="a folder, or a URL such as s3://bucket/prefix",
                doc="Where sealed block documents are kept; by default the folder `blocks` in the home.",
            ),
            _setting(
                "progress",
                _progress,
                allowed="auto, on or off",
                doc="Show running flows live at a terminal; auto does not where the variable CI is set.",
            ),
            _setting(
                "check",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Make every cache key again in a second process, and find results that are changed in place.",
            ),
        )
    }
)


def setting_named(name: str) -> Setting:
    """Return a setting by its name or by its variable, in any case.

    Raises:
        ConfigurationError: If there is none; the message gives the nearest name.
    """
    plain = name.strip().lower().replace("-", "_").removeprefix(PREFIX.lower())
    found = SETTINGS.get(plain)
    if found is None:
        raise ConfigurationError(
            f"no setting named {name!r}{nearest(plain, SETTINGS)}; known: {', '.join(SETTINGS)}", setting=name
        )
    return found


def parse(setting: Setting, raw: object, *, where: str) -> Any:
    """Return the typed value of what a variable or the file says.

    Args:
        setting: Which.
        raw: Text, or what TOML made of it.
        where: The variable, or the file, for the message.

    Raises:
        ConfigurationError: If it may not be that.
    """
    try:
        return setting.read(raw)
    except (KeyError, TypeError, ValueError):
        shown = masked(raw) if isinstance(raw, str) else raw
        raise ConfigurationError(
            f"{where} is {shown!r}, which {setting.name} cannot be; use {setting.allowed}", setting=setting.name
        ) from None


def masked(text: str) -> str:
    """Return a path or URL without what may be secret in it: the user part and the query."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    rest, query, _ = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        authority = "***@" + authority.rpartition("@")[2]
    return scheme + mark + authority + slash + path + ("?***" if query else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name that is most like this one, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415  only a mistake pays for it

    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
