"""Hunting for secrets: in whatever a program could print, write or send somewhere."""

import base64
import html
import json
import traceback
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SECRET = 'hunter2 "töp/secret"+&\\\n'
SECRET_BYTES = b"\x00\xffbytes-of-the-secret\n"


def forms(secret: str | bytes) -> Iterator[str]:
    """Yield the ways in which a secret could show up in text."""
    raw = secret.encode() if isinstance(secret, str) else secret
    text = secret if isinstance(secret, str) else secret.decode("latin-1")
    yield text
    yield repr(secret).strip("b")[1:-1]
    yield ascii(secret).strip("b")[1:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(raw)[2:-1]
    yield html.escape(text)
    yield raw.hex()
    yield raw.hex().upper()
    yield quote(raw, safe="")
    yield quote_plus(raw)
    for offset in range(3):  # base64 depends on where in a longer text the secret stands
        encoded = base64.b64encode(bytes(offset) + raw + bytes(3)).decode()
        own = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]  # the digits that have no bit of a neighbour
        yield own
        yield own.replace("+", "-").replace("/", "_")


def leaks(shown: str | bytes, *secrets: str | bytes) -> list[str]:
    """Return the forms of secrets that are in what was shown."""
    text = shown if isinstance(shown, str) else shown.decode("latin-1")
    as_bytes = text.encode("utf-8", "surrogatepass").decode("latin-1")
    found = []
    for secret in secrets or (SECRET, SECRET_BYTES):
        found += [
            form
            for form in forms(secret)
            if form in text or form.encode("utf-8", "surrogatepass").decode("latin-1") in as_bytes
        ]
    return found


def our_frames(error: BaseException) -> str:
    """Return an error with its whole chain, every argument and attribute, and the locals of all frames of entrepot."""
    parts = []
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        pending += [each.__cause__, each.__context__]
        parts += [
            str(each),
            repr(each),
            repr(each.args),
            repr(getattr(each, "__dict__", "")),
            *getattr(each, "__notes__", []),
        ]
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if "/entrepot/" in frame.f_code.co_filename:
                for name, value in list(frame.f_locals.items()):
                    try:
                        parts.append(f"{frame.f_code.co_qualname}.{name} = {value!r}")
                    except Exception as broken:  # noqa: BLE001  half-made objects do not print
                        parts.append(repr(broken))
    return "\n".join(parts)
