"""Blocks that call HTTP endpoints: webhooks in general, and Slack's."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.blocks._addresses import why_blocked
from entrepot.blocks._delivery import SIGNATURE_HEADERS, check_template, deliver, filled, signing_key
from entrepot.blocks._http import HTTPClient, HTTPResponse, check_headers, check_url
from entrepot.blocks._quiet import call_quietly
from entrepot.blocks._references import SecretReference
from entrepot.blocks.core import Block
from entrepot.errors import SerializationError, WebhookError

__all__ = ["HTTPResponse", "SlackWebhook", "Webhook"]

T = TypeVar("T")

_SLACK_LIMIT: Final = 39_000  # characters; Slack takes 40,000
_CUT_ENTITY: Final = re.compile(r"&[a-z]{0,3}\Z")
_SLACK_CODE: Final = re.compile(r"[a-z_]{1,60}\Z", re.ASCII)
_NOT_FOUND: Final = frozenset({404, 410})


class Webhook(Block):
    """An HTTP endpoint to call.

    The URL and the values of headers are secrets. Proxies of the environment are not used. A host that resolves to a
    private, loopback, link-local or metadata address is refused, also where a redirect leads to one, unless
    `allow_private_urls` is set.
    """

    _block_type_name: ClassVar[str] = "Webhook"
    _block_type_slug: ClassVar[str] = "webhook"
    _block_capabilities: ClassVar[tuple[str, ...]] = ("call", "notify")
    _description: ClassVar[str] = "Call an HTTP endpoint, to notify or to trigger something."

    url: SecretStr = Field(description="Where to call; kept secret, since such URLs often are the credential.")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(default="POST", description="The HTTP method.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Headers to send, such as Authorization.")
    allow_private_urls: bool = Field(
        default=False, description="Whether addresses that are not on the public internet may be called."
    )
    timeout: float = Field(
        default=10.0, gt=0, le=600, description="Seconds for each attempt, redirects and answer included."
    )
    retries: int = Field(
        default=0, ge=0, le=20, description="How often to call again if the server is busy; see `call` for when."
    )
    signing_secret: SecretStr | None = Field(
        default=None, description="Signs each call, as Standard Webhooks has it; 'whsec_...' or any text."
    )
    template: str | None = Field(
        default=None, description='What `notify` sends: text or JSON with $body and $subject: \'{"text": "$body"}\'.'
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        return _checked(value)

    @field_validator("signing_secret")
    @classmethod
    def _check_signing_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not isinstance(value, SecretReference):  # such are looked at when they are used
            signing_key(value.get_secret_value())
        return value

    @field_validator("template")
    @classmethod
    def _check_template(cls, value: str | None) -> str | None:
        return None if value is None else check_template(value)

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        known = {name: each for name, each in value.items() if not isinstance(each, SecretReference)}
        check_headers({name: secret.get_secret_value() for name, secret in known.items()})
        return value

    @model_validator(mode="after")
    def _check_signature(self) -> Self:
        if self.signing_secret is not None and any(name.lower() in SIGNATURE_HEADERS for name in self.headers):
            raise ValueError("with a signing_secret the headers of the signature are made here: leave them out")
        return self

    def call(self, payload: Any = None) -> HTTPResponse:
        """Send a request, and return the answer whatever its status; `answer.raise_for_status()` insists on success.

        With `retries`, it is sent again after 429 and 503 (the server's `Retry-After` counts); and after 502, 504 and
        where there was no answer, if it is signed or its method is GET, PUT or DELETE: others might be done twice. All
        attempts of a signed call have the same `webhook-id`.

        Args:
            payload: The body. Text and bytes are sent as they are, None sends none, and anything else is sent as JSON.

        Raises:
            BlockedAddressError: If the host, or one that it redirects to, has an address that is not public.
            WebhookError: If there is no answer. The URL is not shown.
            SerializationError: If the payload is no JSON.
        """
        return self._sent(*_encoded(payload))

    def notify(self, body: str, subject: str | None = None) -> None:
        """Send `{"subject": ..., "body": ...}` as JSON, without the subject if there is none; or the `template`.

        Raises:
            BlockedAddressError: As for `call`.
            WebhookError: If there is no answer, or one that is not a success.
        """
        if self.template is not None:
            self._sent(*filled(self.template, body, subject)).raise_for_status()
        else:
            self.call({"body": body} if subject is None else {"subject": subject, "body": body}).raise_for_status()

    def check(self) -> str:
        """Resolve the host and connect to it, without sending a request; return what answered, for people.

        Raises:
            BlockedAddressError: If an address of the host is not public.
            WebhookError: If there is no connection.
        """
        return _connected(self)

    def _sent(self, content_type: str, body: bytes | None) -> HTTPResponse:
        client = _client(self)

        def send(more: Mapping[str, str]) -> HTTPResponse:
            headers = {**_plain(self.headers, content_type), **more}
            return client.send(self.method, self.url.get_secret_value(), headers=headers, body=body)

        def call() -> HTTPResponse:
            key = None if self.signing_secret is None else signing_key(self.signing_secret.get_secret_value())
            return deliver(send, self.method, body, retries=self.retries, key=key)

        return _quietly(call)

    async def acall(self, payload: Any = None) -> HTTPResponse:
        """Do what `call` does, from async code."""
        return await asyncio.to_thread(self.call, payload)

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """Do what `notify` does, from async code."""
        await asyncio.to_thread(self.notify, body, subject)


class SlackWebhook(Block):
    """An incoming webhook of Slack, or of a chat that takes Slack's format (Mattermost, Rocket.Chat)."""

    _block_type_name: ClassVar[str] = "Slack Webhook"
    _block_type_slug: ClassVar[str] = "slack-webhook"
    _block_capabilities: ClassVar[tuple[str, ...]] = ("notify",)
    _description: ClassVar[str] = "Send messages to a channel of Slack, or of a chat that takes Slack's format."

    url: SecretStr = Field(description="The webhook's URL: https://hooks.slack.com/services/...")
    allow_private_urls: bool = Field(
        default=False, description="Whether addresses that are not on the public internet may be called."
    )
    timeout: float = Field(
        default=10.0, gt=0, le=600, description="Seconds for the call, redirects and answer included."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        return _checked(value)

    def notify(self, body: str, subject: str | None = None) -> None:
        """Send a message; the subject stands above it in bold.

        The text is shown as it is: `<`, `>` and `&` are escaped, so that text from elsewhere calls nobody
        (`<!channel>`). Very long text is cut.

        Raises:
            BlockedAddressError: If the host, or one that it redirects to, has an address that is not public.
            WebhookError: If there is no answer, or Slack refused the message. The URL is not shown.
        """
        text = body if subject is None else f"*{subject}*\n{body}"
        content_type, content = _encoded({"text": _escaped(text)})
        client = _client(self)
        answer = _quietly(
            lambda: client.send(
                "POST", self.url.get_secret_value(), headers={"Content-Type": content_type}, body=content
            )
        )
        if not answer.ok:
            code = answer.text.strip()
            said = f" ({code})" if _SLACK_CODE.match(code) else ""  # nothing else is repeated: it may hold anything
            todo = "make a new webhook and save its URL" if answer.status in _NOT_FOUND else "check the webhook's URL"
            raise WebhookError(
                f"the message was not taken: the server answered {answer.status}{said}; {todo}", status=answer.status
            )

    def check(self) -> str:
        """Resolve the host and connect to it, without sending a message; return what answered, for people.

        Raises:
            BlockedAddressError: If an address of the host is not public.
            WebhookError: If there is no connection.
        """
        return _connected(self)

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """Do what `notify` does, from async code."""
        await asyncio.to_thread(self.notify, body, subject)


def _checked(url: SecretStr) -> SecretStr:
    if not isinstance(url, SecretReference):
        check_url(url.get_secret_value())
    return url


def _plain(headers: Mapping[str, SecretStr], content_type: str) -> dict[str, str]:
    """Return headers to send; the type of the content is the caller's, unless they give one themselves."""
    plain = {name: secret.get_secret_value() for name, secret in headers.items()}
    if content_type and "content-type" not in {name.lower() for name in plain}:
        plain["Content-Type"] = content_type
    return plain


def _quietly(call: Callable[[], T]) -> T:
    """Return what a call of the client returns; an error of it leads to no frame that has the URL or the headers."""
    return call_quietly(
        call,
        lambda error: WebhookError(
            f"the webhook was not called, or its answer was not understood ({type(error).__name__})", status=None
        ),
    )


def _escaped(text: str) -> str:
    """Return text that Slack shows as it is, cut to what it takes."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= _SLACK_LIMIT:
        return escaped
    return _CUT_ENTITY.sub("", escaped[:_SLACK_LIMIT]) + "..."


def _client(block: Webhook | SlackWebhook) -> HTTPClient:
    if block.allow_private_urls:
        return HTTPClient(timeout=block.timeout, refuse=lambda address: None)  # noqa: ARG005  nothing is refused
    return HTTPClient(timeout=block.timeout, refuse=why_blocked)


def _connected(block: Webhook | SlackWebhook) -> str:
    """Connect to the host of a block, and return what answered, for people."""
    client = _client(block)
    return f"connected to {_quietly(lambda: client.connect(block.url.get_secret_value()))}"


def _encoded(payload: Any) -> tuple[str, bytes | None]:
    """Return content type and body of a payload."""
    if payload is None:
        return "", None
    if isinstance(payload, bytes | bytearray | memoryview):
        return "application/octet-stream", bytes(payload)
    try:
        if isinstance(payload, str):
            return "text/plain; charset=utf-8", payload.encode()
        return "application/json", json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        # Not its own words: they may repeat a value.
        raise SerializationError(
            f"the payload cannot be sent as text or JSON ({type(error).__name__}): "
            "use dicts with text keys, lists, text, finite numbers, booleans and None",
            serializer="json",
            path="payload",
        ) from None
