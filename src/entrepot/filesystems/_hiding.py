"""Hiding secrets in options of free form, where a name or the look of a value is all that tells them."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretBytes, SecretStr

from entrepot.blocks._inputs import as_secret

__all__ = ["hidden", "revealed"]

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_EXACT: Final = frozenset({"auth", "bearer", "cookie", "cookies", "oauth", "pass", "pkey", "pw", "pwd", "sas", "sig"})
_WITHIN: Final = re.compile(r"secret|token|passw|passphrase|credential|authorization|signature")
_KEY: Final = re.compile(r"(?:access|account|api|customer|private|secret|shared|signing)?keys?\Z")
_NOT_KEYS: Final = frozenset({"file", "filename", "id", "name", "path"})
_USERINFO: Final = re.compile(r"://[^/?#\s]*@|\A[^/?#\s@:]+:[^/?#\s@]+@")
_PAIR: Final = 2


def hidden(options: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return options with what seems to be a secret made one, at any depth: `revealed` gives the plain values back.

    That is text under a name that sounds secret (`password`, `SSECustomerKey`, `headers.Authorization`), and a URL with
    a user part or a signature in it, whatever its name.
    """
    return {name: _hidden(str(name), value, within=False) for name, value in options.items()}


def revealed(value: Any) -> Any:
    """Return a copy of nested dicts and lists with secrets as plain values, for a client library."""
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(map(revealed, value))
    return value


def _hidden(name: str, value: Any, *, within: bool) -> Any:
    """Return a value hidden as its name demands; `within` a secret's name, everything is one (a service account)."""
    sounds = within or _sounds_secret(name)
    if isinstance(value, str):
        return as_secret(value) if sounds else SecretStr(value) if _looks_secret(value) else value
    if isinstance(value, bytes):
        return SecretBytes(value) if sounds else value
    if isinstance(value, dict):
        return {key: _hidden(str(key), item, within=sounds) for key, item in value.items()}
    # Of other classes (named tuples, say) it is not known how they are made, nor whether they take secrets.
    if type(value) in {list, tuple}:
        if len(value) == _PAIR and isinstance(value[0], str) and not sounds and _sounds_secret(value[0]):
            return type(value)([value[0], _hidden(value[0], value[1], within=True)])  # headers, as pairs
        return type(value)([_hidden(name, item, within=sounds) for item in value])
    return value


def _sounds_secret(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if word in _EXACT or (_WITHIN.search(word) and following != "version"):  # `signature_version` is no signature
            return True
        if _KEY.match(word) and (following not in _NOT_KEYS or words[max(place - 1, 0)] == "access"):
            return True
        if word == "connection" and following == "string":
            return True
    return "connectionstring" in words


def _looks_secret(value: str) -> bool:
    if _USERINFO.search(value):
        return True
    if "://" not in value or "?" not in value:
        return False
    try:
        return any(_sounds_secret(name) for name, _ in parse_qsl(urlsplit(value).query, keep_blank_values=True))
    except ValueError:
        return True  # a URL that cannot be understood may hold anything
