"""What the standard library's SMTP client lacks: an end to each answer, and passwords beyond ASCII."""

import base64
import io
import smtplib
import time
from typing import Any, Final

from entrepot.blocks._timed import TimedReader

__all__ = ["TimelySMTP", "TimelySMTPS", "log_in", "peer_of"]

_LOGGED_IN: Final = (235, 503)  # 503: it was done already


class _Timely:
    """Bounds each answer as a whole: the time-out of a socket starts anew with each byte that a slow server sends."""

    sock: Any
    file: Any
    timeout: Any

    def getreply(self) -> Any:
        """Return the answer of the server.

        Raises:
            SMTPServerDisconnected: If it did not come whole in time; its context is a `TimeoutError`.
        """
        if self.file is None:
            self.file = io.BufferedReader(TimedReader(self.sock))
        self.file.raw.deadline = time.monotonic() + self.timeout
        try:
            return super().getreply()  # type: ignore[misc]  # smtplib's
        finally:
            if self.sock is not None:
                self.sock.settimeout(self.timeout)  # for what is sent next


class TimelySMTP(_Timely, smtplib.SMTP):
    """`smtplib.SMTP`, whose answers have an end."""


class TimelySMTPS(_Timely, smtplib.SMTP_SSL):
    """`smtplib.SMTP_SSL`, whose answers have an end."""


def log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    """Log in; as `server.login`, which can say ASCII only.

    Raises:
        SMTPException: If the server lets nobody in (`SMTPAuthenticationError`), or not this way
            (`SMTPNotSupportedError`).
    """
    if user.isascii() and password.isascii():
        server.login(user, password)
        return
    server.ehlo_or_helo_if_needed()
    if "PLAIN" not in server.esmtp_features.get("auth", "").upper().split():
        raise smtplib.SMTPNotSupportedError("no AUTH PLAIN, which a password beyond ASCII needs")
    words = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    code, said = server.docmd("AUTH", f"PLAIN {words}")
    if code not in _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, said)


def peer_of(server: smtplib.SMTP) -> str:
    """Return the address of who answers.

    Raises:
        SMTPServerDisconnected: If nobody does.
    """
    if server.sock is None:
        raise smtplib.SMTPServerDisconnected("not connected")
    return str(server.sock.getpeername()[0])
