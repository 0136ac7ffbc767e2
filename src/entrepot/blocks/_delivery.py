"""How a webhook's request is delivered: signed, and again where it may help."""

import base64
import binascii
import hashlib
import hmac
import json
import random
import secrets
import string
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from entrepot.blocks._http import HTTPResponse
from entrepot.errors import BlockedAddressError, SerializationError, WebhookError

__all__ = ["SIGNATURE_HEADERS", "check_template", "deliver", "filled", "signing_key"]

SIGNATURE_HEADERS: Final = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})
_FIRST_PAUSE: Final = 0.5  # seconds; doubled each time
_LONGEST_PAUSE: Final = 60.0
_AGAIN: Final = frozenset({429, 502, 503, 504})
_NOT_TAKEN: Final = frozenset({429, 503})  # the server says: not now; 502 and 504 are of gateways, which do not know
_IDEMPOTENT: Final = frozenset({"GET", "PUT", "DELETE"})
_PREFIX: Final = "whsec_"
_NAMES: Final = {"body": '"x"', "subject": '"x"'}  # a quote shows names that stand outside of texts


def signing_key(secret: str) -> bytes:
    """Return the bytes to sign with: base64 after `whsec_`, as Standard Webhooks has it, or the text itself.

    Raises:
        ValueError: If there is no base64 after the prefix, or nothing at all.
    """
    if not secret.startswith(_PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("what stands after 'whsec_' is no base64") from None
    if not key:
        raise ValueError("the signing secret is empty")
    return key


def deliver(
    send: Callable[[Mapping[str, str]], HTTPResponse],
    method: str,
    body: bytes | None,
    *,
    retries: int,
    key: bytes | None,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.time,
) -> HTTPResponse:
    """Send a request, and again where it may help; return the last answer.

    Where it is signed, all attempts have one `webhook-id`, by which a receiver tells that it had it already, and each
    has the signature of its own time: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`
    (https://www.standardwebhooks.com). So a signed request is repeated whatever became of it. One that is not signed
    is repeated only if the server said that it did not take it, or if its method means the same when done twice.

    Args:
        send: Sends it once, with these headers too.
        method: The HTTP method.
        body: What is sent.
        retries: How often it is repeated at most.
        key: What to sign with, if at all.
        sleep: Waits for some seconds.
        now: The time, in seconds since 1970.

    Raises:
        BlockedAddressError: If the address may not be called.
        WebhookError: If the last attempt had no answer.
    """
    number = f"msg_{secrets.token_urlsafe(18)}"
    harmless = key is not None or method in _IDEMPOTENT  # to do it twice
    for attempt in range(retries + 1):
        headers = {} if key is None else _signature(key, number, int(now()), body or b"")
        pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE) * (0.5 + random.random() / 2)  # noqa: S311  no secret
        try:
            answer = send(headers)
        except BlockedAddressError:
            raise
        except WebhookError:
            if attempt == retries or not harmless:
                raise
        else:
            if attempt == retries or answer.status not in (_AGAIN if harmless else _NOT_TAKEN):
                return answer
            pause = _asked_for(answer, pause, now)
        sleep(pause)
    raise AssertionError  # the last attempt returned or raised


def _signature(key: bytes, number: str, timestamp: int, body: bytes) -> dict[str, str]:
    signed = hmac.digest(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _asked_for(answer: HTTPResponse, pause: float, now: Callable[[], float]) -> float:
    """Return how long the server wants us to wait, if it says so: in seconds, or until when."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdecimal():
        return min(float(said), _LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return pause
    return min(max(until - now(), pause), _LONGEST_PAUSE)


def check_template(template: str) -> str:
    """Return a template of a message that can be filled in.

    Raises:
        ValueError: If it names anything but `$body` and `$subject`, or is no JSON though it looks like that.
    """
    try:
        _, content = filled(template, _NAMES["body"], _NAMES["subject"])
    except (KeyError, ValueError):
        raise ValueError("it may name $body and $subject only; write $$ for a dollar sign") from None
    if _is_json(template):
        try:
            json.loads(content)
        except ValueError:
            raise ValueError('it is no JSON: put the names in quotes, as in {"text": "$subject: $body"}') from None
    return template


def filled(template: str, body: str, subject: str | None) -> tuple[str, bytes]:
    """Return content type and content of a message in a template; in JSON, the texts are escaped for it.

    Raises:
        SerializationError: If there are lone surrogates in it, which no encoding has.
    """
    words = {"body": body, "subject": subject or ""}
    kind = "text/plain; charset=utf-8"
    if _is_json(template):
        kind = "application/json"
        words = {name: json.dumps(text, ensure_ascii=False)[1:-1] for name, text in words.items()}
    try:
        return kind, string.Template(template).substitute(words).encode()
    except UnicodeEncodeError:
        raise SerializationError(
            "the message cannot be sent: it has lone surrogates in it", serializer="template", path="body"
        ) from None


def _is_json(template: str) -> bool:
    return template.lstrip().startswith(("{", "["))
