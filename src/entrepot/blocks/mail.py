"""A block for a mail server (SMTP), to send messages by."""

import asyncio
import contextlib
import mimetypes
import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from ipaddress import ip_address
from typing import ClassVar, Final, Literal, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.blocks._quiet import call_quietly
from entrepot.blocks._smtp import TimelySMTP, TimelySMTPS, log_in, peer_of
from entrepot.blocks.core import Block
from entrepot.errors import ConfigurationError, EntrepotError, NotificationError

__all__ = ["EmailServer"]

T = TypeVar("T")

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_NAMED: Final = 5  # recipients in a message
_OF_MESSAGES: Final = frozenset({"message", "multipart"})  # their parts are parsed: no attachment of bytes can be one
_SPEC: Final = r"[^\s<>()\[\],;:\\\"@]+@[^\s<>()\[\],;:\\\"@]+"
_ADDRESS: Final = re.compile(
    rf'(?:(?:"(?P<quoted>[^"\\]*)"|(?P<name>[^"<>@,;:\\]*))\s*<(?P<address>{_SPEC})>)|(?P<alone>{_SPEC})'
)


class EmailServer(Block):
    """A mail server, and who sends by it.

    What is sent is encrypted unless `security` says otherwise, and the server's certificate is checked. A password
    never goes over a connection that is not encrypted, except to this machine.
    """

    _block_type_name: ClassVar[str] = "Email Server"
    _block_type_slug: ClassVar[str] = "email-server"
    _block_capabilities: ClassVar[tuple[str, ...]] = ("notify",)
    _description: ClassVar[str] = "Send e-mail through an SMTP server."

    host: str = Field(min_length=1, description="Name of the SMTP server: 'smtp.example.com'.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Its port; by default 587, 465 or 25.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is encrypted: from its start, after STARTTLS, or not at all.",
    )
    username: str | None = Field(default=None, description="Who logs in; nobody if empty.")
    password: SecretStr | None = Field(default=None, description="The password, or an app password.")
    sender: str = Field(description="The address in From: 'Alerts <alerts@example.com>'.")
    recipients: list[str] = Field(default_factory=list, description="Who gets what `notify` sends.")
    ca_file: str | None = Field(default=None, description="Certificates to trust beside the system's, as a PEM file.")
    timeout: float = Field(default=30.0, gt=0, le=600, description="Seconds for each answer of the server.")

    @field_validator("sender")
    @classmethod
    def _check_sender(cls, value: str) -> str:
        return _checked_address(value)

    @field_validator("recipients")
    @classmethod
    def _check_recipients(cls, value: list[str]) -> list[str]:
        return [_checked_address(each) for each in value]

    @model_validator(mode="after")
    def _check_password(self) -> "EmailServer":
        if (self.password is None) != (not self.username):
            raise ValueError("there is a password, but no username that it belongs to, or the other way round")
        if self.password is not None and self.security == "none" and not _is_here(self.host):
            raise ValueError("a password would go in clear: use security 'starttls' or 'tls'")
        return self

    def send(
        self,
        to: str | Sequence[str],
        subject: str,
        body: str,
        *,
        html: str | None = None,
        attachments: Mapping[str, bytes] | None = None,
    ) -> str:
        """Send a message; return its Message-ID.

        Args:
            to: One address or several.
            subject: One line.
            body: Plain text.
            html: The same for programs that show HTML.
            attachments: Their content, by file name, which says what kind of file it is.

        Raises:
            ConfigurationError: If `ca_file` cannot be read.
            NotificationError: If the server cannot be reached, does not let this user in, or refuses the message or
                some of the recipients: those are named, and the others have it. No part of the message is repeated.
            ValueError: If an address or the subject cannot be in a message.
        """
        addresses = [to] if isinstance(to, str) else list(to)
        if not addresses:
            raise ValueError("there is nobody to send it to: give to=, or set recipients on the block")
        people = [_address(each) for each in addresses]
        message = self._composed(people, subject, body, html, attachments or {})
        recipients = [each.addr_spec for each in people]
        self._with_server(lambda server: _sent(server, message, _address(self.sender).addr_spec, recipients))
        return str(message["Message-ID"])

    def notify(self, body: str, subject: str | None = None) -> None:
        """Send a message to the block's `recipients`; as `send`, but line breaks in the subject become spaces."""
        self.send(self.recipients, " ".join((subject or "").split()) or "A message of Entrepot", body)

    def check(self) -> str:
        """Connect and log in, without sending anything; return what answered, for people.

        Raises:
            NotificationError: As for `send`.
        """
        self._with_server(lambda server: server.noop())
        return f"connected to {self.host}:{self._port()}" + (f" as {self.username}" if self.username else "")

    async def asend(
        self,
        to: str | Sequence[str],
        subject: str,
        body: str,
        *,
        html: str | None = None,
        attachments: Mapping[str, bytes] | None = None,
    ) -> str:
        """Do what `send` does, off the event loop."""
        return await asyncio.to_thread(self.send, to, subject, body, html=html, attachments=attachments)

    async def anotify(self, body: str, subject: str | None = None) -> None:
        """Do what `notify` does, off the event loop."""
        await asyncio.to_thread(self.notify, body, subject)

    # --- how ----------------------------------------------------------------------------------------------------

    def _port(self) -> int:
        return self.port or _PORTS[self.security]

    def _composed(
        self, to: Sequence[Address], subject: str, body: str, html: str | None, attachments: Mapping[str, bytes]
    ) -> EmailMessage:
        for what, text in (
            ("the subject", subject),
            *(("the file name of an attachment", name) for name in attachments),
        ):
            if not _is_one_line(text):
                raise ValueError(f"{what} has a line break in it")  # what follows would be read as headers
        try:
            "".join((subject, body, html or "", *attachments)).encode()
        except UnicodeEncodeError:
            raise ValueError("the message has lone surrogates in it, which no encoding has") from None
        sender = _address(self.sender)
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, to, subject
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain=sender.domain if sender.domain.isascii() else None)
        message.set_content(body)
        if html is not None:
            message.add_alternative(html, subtype="html")
        for name, content in attachments.items():
            maintype, subtype, parameters = _kind_of(name, content)
            message.add_attachment(content, maintype=maintype, subtype=subtype, filename=name, params=parameters)
        return message

    def _with_server(self, act: Callable[[smtplib.SMTP], T]) -> T:
        """Do something with the server, logged in; an error leads to no frame with the password or the message."""
        return call_quietly(lambda: self._connected(act), self._failed)

    def _connected(self, act: Callable[[smtplib.SMTP], T]) -> T:
        tls = None if self.security == "none" else self._trusted()
        if self.security == "tls":
            server: smtplib.SMTP = TimelySMTPS(self.host, self._port(), timeout=self.timeout, context=tls)
        else:
            server = TimelySMTP(self.host, self._port(), timeout=self.timeout)
        try:
            if self.security == "starttls":
                server.starttls(context=tls)
            if self.username and self.password is not None:
                if tls is None and not _is_loopback(peer_of(server)):  # the name may lead elsewhere by now
                    raise NotificationError(
                        f"the mail server {self.host} is another machine: a password would go in clear; use security"
                        " 'starttls' or 'tls'"
                    )
                log_in(server, self.username, self.password.get_secret_value())
            found = act(server)
            with contextlib.suppress(smtplib.SMTPException, OSError):  # it is done, whatever the server says to goodbye
                server.quit()
            return found
        finally:
            server.close()

    def _trusted(self) -> ssl.SSLContext:
        """Return whose certificates are trusted."""
        tls = ssl.create_default_context()
        if self.ca_file is not None:
            try:
                tls.load_verify_locations(self.ca_file)
            except OSError as error:
                why = "there is no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
                raise ConfigurationError(f"cannot read ca_file {self.ca_file}: {why}", setting="ca_file") from None
        return tls

    def _failed(self, error: Exception) -> EntrepotError:
        return NotificationError(f"the mail server {self.host}:{self._port()} {self._trouble(error)}")

    def _trouble(self, error: Exception) -> str:
        """Return what is wrong, and what to do, in no words of the server's: they may repeat anything."""
        match error:
            case smtplib.SMTPRecipientsRefused():
                named = [f"{address} ({code})" for address, (code, _) in error.recipients.items()]
                more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
                others = "; the others were sent it" if isinstance(error, _SomeRefusedError) else ""
                return f"refuses {', '.join(named[:_NAMED])}{more}{others}; check the address"
            case smtplib.SMTPAuthenticationError():
                why = f"does not let {self.username!r} in ({error.smtp_code}); check the password"
            case smtplib.SMTPNotSupportedError() if "SMTPUTF8" in str(error):
                why = "takes ASCII addresses only; write the domain as xn--..., or use another address"
            case smtplib.SMTPNotSupportedError():
                starts = self.security == "starttls" and "STARTTLS" in str(error)
                why = f"offers no {'STARTTLS' if starts else 'log-in that is known here'}; check port and security"
            case smtplib.SMTPConnectError() | smtplib.SMTPHeloError():
                why = "is none, or takes nothing now; check host, port and security, or try later"
            case smtplib.SMTPResponseException():
                why = f"refuses the message ({error.smtp_code}); check sender and recipients"
            case ssl.SSLCertVerificationError():
                why = (
                    f"has a certificate that is not valid for it ({error.verify_message}); check host, or name the"
                    " authority in ca_file"
                )
            case _ if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                why = f"did not answer within {self.timeout:g} s; check host and port"
            case _:
                said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
                why = f"cannot be reached, or broke off ({said}); check host, port and security"
        return why


def _sent(server: smtplib.SMTP, message: EmailMessage, sender: str, recipients: Sequence[str]) -> None:
    """Send a message to all of them, or say that some were refused."""
    refused = server.send_message(message, sender, recipients)
    if refused:
        raise _SomeRefusedError(refused)


class _SomeRefusedError(smtplib.SMTPRecipientsRefused):
    """Some recipients were refused, and the others have the message; the class above is raised if nobody has."""


def _kind_of(name: str, content: bytes) -> tuple[str, str, dict[str, str]]:
    """Return the media type of a file by its name, and the parameters that it needs."""
    kind, packed = mimetypes.guess_type(name)
    if packed == "gzip":
        kind = "application/gzip"
    if kind is None or (packed and packed != "gzip") or kind.partition("/")[0] in _OF_MESSAGES:
        kind = "application/octet-stream"
    maintype, _, subtype = kind.partition("/")
    is_text = maintype == "text" and b"\0" not in content
    with contextlib.suppress(UnicodeDecodeError):
        if is_text and not content.isascii():
            content.decode()
            return maintype, subtype, {"charset": "utf-8"}
    return maintype, subtype, {}


def _checked_address(text: str) -> str:
    _address(text)
    return text


def _address(text: str) -> Address:
    """Take an address apart: our own way, since Python's reads more into one, and not the same in each version.

    Raises:
        ValueError: If it is not exactly one.
    """
    if not _is_one_line(text):
        raise ValueError("an address has a line break in it")
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or "=?" in text or "\ud800" <= max(text) <= "\udfff":
        raise ValueError("that is not one e-mail address: write 'name@example.com' or 'Name <name@example.com>'")
    name = (found["quoted"] or found["name"] or "").strip()
    local, domain = (found["address"] or found["alone"]).rsplit("@", 1)
    try:
        return Address(display_name=name, username=local, domain=domain)
    except (ValueError, MessageError):
        raise ValueError("that is not one e-mail address: it has a character that cannot be there") from None


def _is_one_line(text: str) -> bool:
    return "\0" not in text and len(text.splitlines()) <= 1 and text.splitlines() in ([], [text])


def _is_here(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(_is_loopback(str(item[4][0])) for item in found)


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback
