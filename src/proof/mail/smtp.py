"""Handing a message to a mail relay (RFC 5321, RFC 8314)."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from enum import StrEnum
from typing import Protocol

from proof.core.errors import OtherSideError

_TIMEOUT_S = 20.0


class Security(StrEnum):
    """How the connection to the relay is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MailError(OtherSideError):
    """The relay did not take the message; it may have been sent nevertheless if it broke off late."""


class Sender(Protocol):
    """What hands a message over; `Mailer`, or a fake with faults."""

    async def send(self, recipient: str, subject: str, text: str) -> None:
        """See `Mailer.send`."""
        ...


@dataclass(frozen=True, slots=True)
class Mailer:
    """A relay: where it is, and as whom we send. `user` empty: without logging in."""

    host: str
    port: int
    security: Security
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)

    async def send(self, recipient: str, subject: str, text: str) -> None:
        """Hand over one message. Raises MailError. Whether it arrives is not known."""
        try:
            # smtplib blocks; a message is rare enough for a thread of its own.
            await asyncio.to_thread(self._send, self._message(recipient, subject, text))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise self._failed(error) from None

    async def greet(self) -> None:
        """Connect and log in as for a message, and send none. Raises MailError."""
        try:
            await asyncio.to_thread(self._greet)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> MailError:
        # The text of an SMTP error may quote what was sent to the relay, so only its kind is told.
        return MailError(f"the mail relay {self.host}:{self.port} failed: {type(error).__name__}")

    def _greet(self) -> None:
        with self._connection() as relay:
            self._enter(relay)
            relay.noop()

    def _message(self, recipient: str, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2].rstrip(">"))
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage) -> None:
        with self._connection() as relay:
            self._enter(relay)
            relay.send_message(message)

    def _enter(self, relay: smtplib.SMTP) -> None:
        if self.security is Security.STARTTLS:
            relay.starttls(context=ssl.create_default_context())
        if self.user:
            relay.login(self.user, self.password)

    def _connection(self) -> smtplib.SMTP:
        if self.security is Security.TLS:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
