"""What can be set: names, types, defaults, and what each value may be."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from entrepot._amounts import SPANS, bytes_of, seconds_of
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


def _compress(raw: object) -> str:
    text = _text(raw).lower()
    if text not in {"auto", "never", "always"}:
        raise ValueError
    return text


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


def _documents(raw: object) -> str:
    place = _place(raw)
    scheme, mark, rest = place.partition(":/")
    if mark and scheme.isalnum() and not rest.startswith("/"):
        raise ValueError  # a URL that lost a slash: as a folder it would be an empty store
    return place


def _span(raw: object) -> int:
    seconds = raw if isinstance(raw, int) and not isinstance(raw, bool) else seconds_of(_text(raw))
    if seconds <= 0:
        raise ValueError
    return seconds


def _size(raw: object) -> int:
    size = raw if isinstance(raw, int) and not isinstance(raw, bool) else bytes_of(_text(raw))
    if size < 0:
        raise ValueError
    return size


def _serializer(raw: object) -> str:
    text = _text(raw)
    for part in text.split("/"):
        check_name(part, what="serializer name")
    return text


def _serializers(raw: object) -> tuple[str, ...]:
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple):
        raise TypeError
    names = tuple(dict.fromkeys(_serializer(name) for name in given))
    if not names:
        raise ValueError
    return names


def _distributions(raw: object) -> tuple[str, ...]:
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple):
        raise TypeError
    names = tuple(name for name in map(_text, given) if name)
    if not all(re.fullmatch(r"[A-Za-z0-9._*-]+", name) for name in names):
        raise ValueError
    return names


def _references(raw: object) -> tuple[str, ...]:
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple):
        raise TypeError
    return tuple(dict.fromkeys(_reference(each) for each in map(_text, given) if each))


def _reference(text: str) -> str:
    if text == "*":
        return text
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if not rest or not text.isprintable() or not re.fullmatch(r"[a-z][a-z0-9+-]*", scheme, re.ASCII):
        raise ValueError
    return f"{scheme}://{rest}"


def _seconds(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise TypeError
    seconds = float(raw)
    if not 1 <= seconds <= 3600:  # noqa: PLR2004  an hour; not a number is neither
        raise ValueError
    return seconds


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
        results_allow: The serializers that may write and read results; None for all.
        results_encrypt: Whether results are encrypted before they leave the process.
        results_keep: Seconds after which a collection removes results that do not say how long they are kept; None for
            never.
        results_max_size: Bytes above which a collection removes the least recently used results; None for any size.
        results_single_flight: Whether equal calls in several processes compute once, where a task does not say.
        results_lease_seconds: How long such a computation may show no sign of life before another run takes it over.
        results_compress: When large results are compressed: "auto", "never" or "always".
        results_mapped: Whether large results in folders are mapped into memory rather than read.
        runs_record: Whether the history of runs is kept.
        blocks_storage: Where sealed block documents are kept; None for the folder `blocks` in the home.
        blocks_team: Where blocks are looked up before that: the documents of a team, sealed under the same keyring.
        blocks_team_references: Which secrets of this machine the blocks of a team may refer to, as patterns.
        blocks_sole_writer: Whether blocks are saved in a store that cannot keep two writers apart.
        blocks_mixed_keyrings: Whether new blocks are saved where all others are under another keyring.
        key_provider: What keeps the keyring, as `name:target?option=value`; None for the variable `ENTREPOT_KEYRING`
            where it is set, else the file `keyring.json` in the home.
        progress: Whether running flows are shown live: "auto", "on" or "off".
        check: Whether every cache key is made again in a second process, and results that change in place are found.
        plugins_allow: The only distributions whose plugins may be loaded; empty for all that are not denied.
        plugins_deny: Distributions whose plugins are never loaded.
        plugins_strict: Whether a plugin must be allowed by name, and declared in the manifest of its distribution.
    """

    home: Path
    logging_level: str = "INFO"
    logging_to_history: bool = True
    logging_extra_loggers: tuple[str, ...] = ()
    results_storage: str | None = None
    results_persist: bool = False
    results_serializer: str = "auto"
    results_allow: tuple[str, ...] | None = None
    results_encrypt: bool = False
    results_keep: int | None = None
    results_max_size: int | None = None
    results_single_flight: bool = False
    results_lease_seconds: float = 30.0
    results_compress: Literal["auto", "never", "always"] = "auto"
    results_mapped: bool = False
    runs_record: bool = True
    blocks_storage: str | None = None
    blocks_team: str | None = None
    blocks_team_references: tuple[str, ...] = ()
    blocks_sole_writer: bool = False
    blocks_mixed_keyrings: bool = False
    key_provider: str | None = None
    progress: str = "auto"
    check: bool = False
    plugins_allow: tuple[str, ...] = ()
    plugins_deny: tuple[str, ...] = ()
    plugins_strict: bool = False

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
                allowed="the name of a serializer, such as auto, json, pickle or compressed/json",
                doc="How results become bytes where a task does not say; auto picks by value.",
            ),
            _setting(
                "results_allow",
                _serializers,
                allowed="names of serializers with commas between them, such as json,parquet",
                doc="The serializers that may write and read results; by default all, pickle too.",
            ),
            _setting(
                "results_encrypt",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Encrypt results before they leave the process.",
            ),
            _setting(
                "results_keep",
                _span,
                allowed=f"a span of time such as {SPANS}",
                doc="How long results are kept that do not say so themselves; by default for ever.",
            ),
            _setting(
                "results_max_size",
                _size,
                allowed="a number of bytes such as 500MB, 50GB or 1TiB",
                doc="What `entrepot store gc` leaves at most; the least recently used results go.",
            ),
            _setting(
                "results_single_flight",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Let equal calls in several processes compute once, where a task does not say.",
            ),
            _setting(
                "results_lease_seconds",
                _seconds,
                allowed="a number of seconds from 1 to 3600",
                doc="How long a computation may show no sign of life before another process takes it over.",
            ),
            _setting(
                "results_compress",
                _compress,
                allowed="auto, never or always",
                doc="Compress large results; auto does where they leave the machine and a sample shows that it helps.",
            ),
            _setting(
                "results_mapped",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Map large results into memory instead of reading them, from files that only you can write.",
            ),
            _setting("runs_record", _flag, allowed=_TRUE_OR_FALSE, doc="Keep the history of runs."),
            _setting(
                "blocks_storage",
                _documents,
                allowed="a folder, a URL such as s3://bucket/prefix, or a storage block such as block://s3/team",
                doc="Where sealed block documents are kept; by default the folder `blocks` in the home.",
            ),
            _setting(
                "blocks_team",
                _documents,
                allowed="a folder, a URL such as s3://bucket/prefix, or a storage block such as block://s3/team",
                doc="Where blocks are looked up before one's own: the documents of a team.",
            ),
            _setting(
                "blocks_team_references",
                _references,
                allowed="references with * for what may differ and commas between them, such as env://DB_*,vault://db/*",
                doc="The secrets of this machine that blocks of a team may refer to; by default none.",
            ),
            _setting(
                "blocks_sole_writer",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Save blocks in a store that cannot keep two writers apart: you see to it that there is one.",
            ),
            _setting(
                "blocks_mixed_keyrings",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Save new blocks in a shared store although what is there is under another keyring.",
            ),
            _setting(
                "key_provider",
                _place,
                allowed="the name of a key provider with its options, such as passphrase or aws-kms:alias/entrepot",
                doc="What keeps the keyring; by default the file keyring.json in the home.",
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
            _setting(
                "plugins_allow",
                _distributions,
                allowed="names of distributions with commas between them, such as acme-entrepot,our-*",
                doc="The only distributions whose plugins may be loaded; by default all that are installed.",
            ),
            _setting(
                "plugins_deny",
                _distributions,
                allowed="names of distributions with commas between them, such as acme-entrepot,old-*",
                doc="Distributions whose plugins are never loaded.",
            ),
            _setting(
                "plugins_strict",
                _flag,
                allowed=_TRUE_OR_FALSE,
                doc="Load only plugins that plugins_allow names and that a manifest declares.",
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
