"""Mail through a relay: what it is told, and how failures are stated."""

import asyncio
import base64
import socket

import pytest
from tests.support.relay import relay

from proof.mail import Mailer, MailError, Security

SECRET = "correct horse"


def mailer(port: int, **changes: str) -> Mailer:
    options = {"security": Security.NONE, **changes}
    return Mailer(
        host="127.0.0.1",
        port=port,
        sender="Proof <partners@proof.example>",
        security=Security(options["security"]),
        user=options.get("user", ""),
        password=options.get("password", ""),
    )


def send(found: Mailer, recipient: str = "ops@acme.example", text: str = "Grüße\n.\nend") -> None:
    asyncio.run(found.send(recipient, "Your credentials", text))


def test_a_message_arrives_whole() -> None:
    with relay() as found:
        send(mailer(found.port))
        assert "mail FROM:<partners@proof.example>" in found.text
        assert "rcpt TO:<ops@acme.example>" in found.text
        assert "From: Proof <partners@proof.example>" in found.text
        assert "Subject: Your credentials" in found.text
        assert "@proof.example>" in next(
            line for line in found.lines if line.startswith("Message-ID")
        )
        assert "AUTH" not in found.text.replace("auth", "")


def test_it_logs_in_when_there_is_a_user() -> None:
    with relay() as found:
        send(mailer(found.port, user="proof", password=SECRET))
        (line,) = [item for item in found.lines if item.startswith("AUTH PLAIN ")]
        assert base64.b64decode(line.split()[2]) == f"\0proof\0{SECRET}".encode()


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA", "AUTH"])
def test_a_refusal_is_stated_without_what_was_said(verb: str) -> None:
    with relay(refuse=verb) as found, pytest.raises(MailError) as caught:
        # A relay that refuses EHLO is greeted with HELO, which knows no login.
        send(mailer(found.port, user="proof", password=SECRET))
    assert f"the mail relay 127.0.0.1:{found.port} failed: " in caught.value.message
    assert "secret" not in caught.value.message
    assert SECRET not in caught.value.message


def test_it_sends_nothing_in_the_open_when_it_is_to_be_protected() -> None:
    with relay() as found, pytest.raises(MailError):
        send(mailer(found.port, security="starttls", user="proof", password=SECRET))
    assert "AUTH" not in found.text
    assert "ops@acme.example" not in found.text


def test_a_relay_that_is_not_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(MailError, match="ConnectionRefusedError"):
            send(mailer(probe.getsockname()[1]))


def test_a_header_cannot_be_smuggled_in() -> None:
    recipient = "ops@acme.example\r\nBcc: all@acme.example"
    with relay() as found, pytest.raises(MailError, match="ValueError"):
        send(mailer(found.port), recipient)
    assert "Bcc" not in found.text


def test_the_password_is_not_in_the_repr() -> None:
    assert SECRET not in repr(mailer(25, user="proof", password=SECRET))
