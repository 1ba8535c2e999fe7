"""Mail of a monitor: in plain words, and sent again when the relay fails."""

from datetime import UTC, datetime

import pytest
from tests.support.relay import relay

from proof.follow.notices import NoticeError, by_mail
from proof.follow.state import Notice
from proof.mail import Mailer, Security

NOTICE = Notice(
    "0" * 32,
    "log.fault",
    datetime(2026, 11, 22, tzinfo=UTC),
    "fork",
    "fork: two roots",
    "state/x.json",
    ("mail",),
)


def mailer(port: int) -> Mailer:
    return Mailer("127.0.0.1", port, Security.NONE, "Proof <partners@proof.example>")


async def test_a_fault_is_mailed_in_plain_words() -> None:
    with relay() as found:
        tell = by_mail(mailer(found.port), "ops@acme.example", "https://proof.example/log")
        await tell(NOTICE)
        assert "rcpt TO:<ops@acme.example>" in found.text
        assert "Subject: Log: fork: https://proof.example/log" in found.text
        assert "fork: two roots" in found.text
        assert "evidence  state/x.json" in found.text


async def test_a_relay_that_takes_nothing_is_stated() -> None:
    with relay(refuse="RCPT") as found:
        tell = by_mail(mailer(found.port), "ops@acme.example", "https://proof.example/log")
        with pytest.raises(NoticeError, match="nobody was mailed"):
            await tell(NOTICE)
