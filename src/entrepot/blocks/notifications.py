"""Blocks that tell people: chats and pagers, through Apprise, which knows some hundred services."""

import asyncio
import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Literal, TypeAlias
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator

from entrepot.blocks._quiet import call_quietly
from entrepot.blocks._references import SecretReference
from entrepot.blocks.core import Block
from entrepot.errors import ConfigurationError, EntrepotError, NotificationError

__all__ = ["DiscordWebhook", "MicrosoftTeamsWebhook", "Notification", "PagerDuty"]

_MENTION: Final = re.compile(r"@(?=everyone\b|here\b)|(?<=<)@(?=[!&]?\d)", re.IGNORECASE)
_Kind = Literal["info", "success", "warning", "failure"]
_Message: TypeAlias = tuple[str, str, _Kind]  # body, title, how urgent
_LIBRARIES: Final = frozenset({"apprise", "requests", "requests_oauthlib", "urllib3", "oauthlib", "paho"})


class _Notifier(Block, ABC):
    """What all of them can do: tell, through addresses that a subclass gives."""

    _block_capabilities: ClassVar[tuple[str, ...]] = ("notify",)

    kind: _Kind = Field(default="info", description="How urgent it is, where the service shows that.")

    timeout: float = Field(
        default=30.0, gt=0, le=600, description="Seconds for a message to be taken by all services, together."
    )

    @abstractmethod
    def _addresses(self) -> list[str]:
        """Return URLs of Apprise, in clear."""

    def _shown(self, text: str) -> str:
        """Return a text such that the service shows it as it is."""
        return text

    def notify(self, body: str, subject: str | None = None) -> None:
        """Send a message to all services at once.

        Raises:
            NotificationError: If a service did not take it, or not in time; the message names services, never their
                addresses.
            ConfigurationError: If Apprise is not installed.
        """
        message = (self._shown(body), self._shown(subject or ""), self.kind)
        refusing = call_quietly(lambda: _told(self._addresses(), message, self.timeout), _failed)
        if refusing:
            raise NotificationError(
                f"not taken by {', '.join(refusing)}: check the address or token that was saved, and the network"
            )

    def check(self) -> str:
        """See that Apprise takes the addresses; return how many, for people. Nothing is contacted.

        Raises:
            NotificationError: If it does not take one; the message names the service.
            ConfigurationError: If Apprise is not installed.
        """
        found = call_quietly(lambda: _services(self._addresses()), _failed)
        unknown = [name for name, service in found if service is None]
        if unknown:
            raise NotificationError(f"Apprise takes no address of the form that was saved for {', '.join(unknown)}")
        return f"{len(found)} well-formed (nothing was sent)"

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """Do what `notify` does, off the event loop."""
        await asyncio.to_thread(self.notify, body, subject)


class Notification(_Notifier):
    """One message to any services that Apprise knows, by their URLs.

    `Notification(urls=["slack://...", "mailto://...", "ntfy://topic"])`; the list of services and their URLs is at
    https://github.com/caronc/apprise/wiki. The addresses are not checked as those of `Webhook` are.
    """

    _block_type_name: ClassVar[str] = "Notification"
    _block_type_slug: ClassVar[str] = "notification"
    _description: ClassVar[str] = "Send messages to chats, pagers, phones and mailboxes, through Apprise."

    urls: list[SecretStr] = Field(min_length=1, description="URLs of Apprise, kept secret: they hold tokens.")

    @field_validator("urls")
    @classmethod
    def _check_urls(cls, value: list[SecretStr]) -> list[SecretStr]:
        for url in value:
            if not isinstance(url, SecretReference) and not urlsplit(url.get_secret_value()).scheme:
                raise ValueError("an address has no scheme: write it as Apprise has it, 'slack://...'")
        return value

    def _addresses(self) -> list[str]:
        return [url.get_secret_value() for url in self.urls]


class MicrosoftTeamsWebhook(_Notifier):
    """A channel of Microsoft Teams, by the URL of a workflow that posts to it."""

    _block_type_name: ClassVar[str] = "Microsoft Teams Webhook"
    _block_type_slug: ClassVar[str] = "ms-teams-webhook"
    _description: ClassVar[str] = "Send messages to a channel of Microsoft Teams."

    url: SecretStr = Field(description="The URL of the workflow: https://...logic.azure.com:443/workflows/...")

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        return _https(value)

    def _addresses(self) -> list[str]:
        if urlsplit(url := self.url.get_secret_value()).scheme == "https":
            return [url]
        del url
        raise ConfigurationError("what the reference in url leads to is no https:// URL", setting="url")


class DiscordWebhook(_Notifier):
    """A channel of Discord, by one of its webhooks. Text from elsewhere calls nobody (`@everyone`, `<@123>`)."""

    _block_type_name: ClassVar[str] = "Discord Webhook"
    _block_type_slug: ClassVar[str] = "discord-webhook"
    _description: ClassVar[str] = "Send messages to a channel of Discord."

    webhook_id: SecretStr = Field(min_length=1, description="The first part after /webhooks/ in the webhook's URL.")
    webhook_token: SecretStr = Field(min_length=1, description="The part after that.")
    username: str | None = Field(default=None, description="The name that the messages come from.")

    def _shown(self, text: str) -> str:
        return _MENTION.sub("@\N{ZERO WIDTH SPACE}", text)

    def _addresses(self) -> list[str]:
        who = "" if self.username is None else quote(self.username, safe="") + "@"
        parts = (self.webhook_id, self.webhook_token)
        return [f"discord://{who}" + "/".join(quote(part.get_secret_value(), safe="") for part in parts)]


class PagerDuty(_Notifier):
    """A service of PagerDuty: each message is an event of it."""

    _block_type_name: ClassVar[str] = "PagerDuty"
    _block_type_slug: ClassVar[str] = "pager-duty"
    _description: ClassVar[str] = "Raise an alert in PagerDuty."

    integration_key: SecretStr = Field(min_length=1, description="The key of an Events API v2 integration.")
    api_key: SecretStr = Field(min_length=1, description="An API key of the account.")
    source: str = Field(default="entrepot", description="What the alert is said to come from.")
    component: str = Field(default="flow", description="The part of it.")

    def _addresses(self) -> list[str]:
        keys = (self.integration_key, self.api_key)
        left, right = (quote(key.get_secret_value(), safe="") for key in keys)
        return [f"pagerduty://{left}@{right}/{quote(self.source, safe='')}/{quote(self.component, safe='')}"]


def _https(url: SecretStr) -> SecretStr:
    if not isinstance(url, SecretReference) and urlsplit(url.get_secret_value()).scheme != "https":
        raise ValueError("it is no https:// URL")
    return url


def _told(addresses: list[str], message: _Message, timeout: float) -> list[str]:
    """Send a message to each address; return the names of the services that did not take it, and why where it helps.

    Each has a thread, so that one that hangs keeps the message from none of the others. Apprise's own time-outs start
    anew with each byte; what is still at it in the end is left behind, and holds up no exit.
    """
    deadline = time.monotonic() + timeout
    sending = [(name, service and _Sending(service, message)) for name, service in _services(addresses)]
    failed = []
    for name, one in sending:
        if one is None:
            failed.append(f"{name} (Apprise knows no such address)")
        elif not one.done.wait(max(0.0, deadline - time.monotonic())):
            failed.append(f"{one.name or name} (no answer within {timeout:g} s; it may have arrived)")
        elif not one.taken:
            failed.append(one.name or name)
    return failed


class _Sending:
    """A message on its way to a service.

    Attributes:
        name: Of the service, as Apprise has it.
        done: Set when it has ended.
        taken: Whether the service took it.
    """

    def __init__(self, service: Any, message: _Message) -> None:
        self.name = str(service.service_name or "")
        self.done = threading.Event()
        self.taken = False
        threading.Thread(target=self._send, args=(service, message), name="entrepot-notify", daemon=True).start()

    def _send(self, service: Any, message: _Message) -> None:
        with _silence.here():
            self.taken = _taken(service, message)
        self.done.set()


def _services(addresses: list[str]) -> list[tuple[str, Any]]:
    """Return each address's scheme, and what Apprise makes of it: None where it knows no such address."""
    import apprise  # noqa: PLC0415  some hundred modules, for who tells somebody

    with _silence.here():
        return [(urlsplit(address).scheme, apprise.Apprise.instantiate(address)) for address in addresses]


def _taken(service: Any, message: _Message) -> bool:
    """Send a message; whatever a service raises, the others are told as well."""
    try:
        body, title, kind = message
        return bool(service.notify(body=body, title=title, notify_type=kind))
    except Exception:  # noqa: BLE001  its words may have the address in them
        return False


class _Silence(logging.Filter):
    """Holds back what libraries log of a thread that sends: addresses and answers, with the tokens in them."""

    def __init__(self) -> None:
        super().__init__()
        self._sending = threading.local()

    @contextmanager
    def here(self) -> Iterator[None]:
        # A filter of a logger does not see what its children log: "urllib3.util.retry" has URLs, too.
        for name in {*_LIBRARIES, *list(logging.root.manager.loggerDict)}:
            if name.partition(".")[0] in _LIBRARIES:
                logging.getLogger(name).addFilter(self)  # once; the same filter again is no second one
        before = getattr(self._sending, "now", False)
        self._sending.now = True
        try:
            yield
        finally:
            self._sending.now = before

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  logging's signature
        return not getattr(self._sending, "now", False)


_silence = _Silence()


def _failed(error: Exception) -> EntrepotError:
    if isinstance(error, ModuleNotFoundError) and error.name == "apprise":
        return ConfigurationError(
            'Apprise, which sends notifications, is not installed; run: pip install "entrepot[notifications]"',
            setting="notifications",
        )
    return NotificationError(f"the message was not sent ({type(error).__name__})")
