"""A block for a mail server (SMTP), to send messages by."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.utils import formatdate, getaddresses, make_msgid, parseaddr
from typing import ClassVar, Final, Literal, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.blocks._quiet import Failed, attempt
from entrepot.blocks.core import Block
from entrepot.errors import EntrepotError, NotificationError

__all__ = ["EmailServer"]

T = TypeVar("T")

_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_HEADER_END: Final = ("\r", "\n", "\0")


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
        if self.password is not None and not self.username:
            raise ValueError("there is a password, but no username that it belongs to")
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
            attachments: Their content, by file name.

        Raises:
            NotificationError: If the server cannot be reached, does not let this user in, or refuses the message or
                one of the recipients. No part of the message is repeated.
            ValueError: If an address or the subject cannot be in a message.
        """
        addresses = [to] if isinstance(to, str) else list(to)
        if not addresses:
            raise ValueError("there is nobody to send it to: give to=, or set recipients on the block")
        message = self._composed([_checked_address(each) for each in addresses], subject, body, html, attachments or {})
        self._with_server(lambda server: _sent(server, message))
        return str(message["Message-ID"])

    def notify(self, body: str, subject: str | None = None) -> None:
        """Send a message to the block's `recipients`; as `send`."""
        self.send(self.recipients, subject or "A message of Entrepot", body)

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
        self, to: Sequence[str], subject: str, body: str, html: str | None, attachments: Mapping[str, bytes]
    ) -> EmailMessage:
        if any(end in subject for end in _HEADER_END):
            raise ValueError("the subject has a line break in it")  # what follows would be read as headers
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self.sender, ", ".join(to), subject
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain=parseaddr(self.sender)[1].rpartition("@")[2])
        message.set_content(body)
        if html is not None:
            message.add_alternative(html, subtype="html")
        for name, content in attachments.items():
            if any(end in name for end in _HEADER_END):
                raise ValueError("the file name of an attachment has a line break in it")
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
        return message

    def _with_server(self, act: Callable[[smtplib.SMTP], T]) -> T:
        """Do something with the server, logged in; an error leads to no frame with the password or the message."""
        found = attempt(lambda: self._connected(act), self._failed)
        if isinstance(found, Failed):
            raise found.error
        return found

    def _connected(self, act: Callable[[smtplib.SMTP], T]) -> T:
        tls = None if self.security == "none" else ssl.create_default_context()
        if tls is not None and self.ca_file is not None:
            tls.load_verify_locations(self.ca_file)
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self._port(), timeout=self.timeout, context=tls)
        else:
            server = smtplib.SMTP(self.host, self._port(), timeout=self.timeout)
        with server:
            if self.security == "starttls":
                server.starttls(context=tls)
            if self.username and self.password is not None:
                server.login(self.username, self.password.get_secret_value())
            return act(server)

    def _failed(self, error: Exception) -> EntrepotError:
        return NotificationError(f"the mail server {self.host}:{self._port()} {self._trouble(error)}")

    def _trouble(self, error: Exception) -> str:
        """Return what is wrong, and what to do, in no words of the server's: they may repeat anything."""
        match error:
            case smtplib.SMTPRecipientsRefused():
                return f"refuses {len(error.recipients)} of the recipients; check their addresses"
            case smtplib.SMTPAuthenticationError():
                why = f"does not let {self.username!r} in ({error.smtp_code}); check the password"
            case smtplib.SMTPNotSupportedError():
                why = f"offers no {self.security.upper()} or no log-in; check port and security"
            case smtplib.SMTPResponseException():
                why = f"refuses the message ({error.smtp_code}); check sender and recipients"
            case ssl.SSLCertVerificationError():
                why = (
                    f"has a certificate that is not valid for it ({error.verify_message}); check host, or name the"
                    " authority in ca_file"
                )
            case TimeoutError():
                why = f"did not answer within {self.timeout:g} s; check host and port"
            case _:
                said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
                why = f"cannot be reached, or broke off ({said}); check host, port and security"
        return why


def _sent(server: smtplib.SMTP, message: EmailMessage) -> None:
    """Send a message to all that it names, or say that some were refused."""
    refused = server.send_message(message)
    if refused:
        raise smtplib.SMTPRecipientsRefused(refused)


def _checked_address(text: str) -> str:
    """Return an address as it was given.

    Raises:
        ValueError: If it is not exactly one.
    """
    if any(end in text for end in _HEADER_END):
        raise ValueError("an address has a line break in it")
    found = getaddresses([text])
    if len(found) != 1 or found[0][1].count("@") != 1 or found[0][1].startswith("@") or found[0][1].endswith("@"):
        raise ValueError("that is not one e-mail address: write 'name@example.com' or 'Name <name@example.com>'")
    return text


def _is_here(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(str(item[4][0]).startswith("127.") or item[4][0] == "::1" for item in found)
