"""How people are told of a fault: a webhook, or mail."""

import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

import aiohttp
import msgspec

from proof.core.clock import moment_text, readable_text
from proof.core.errors import OtherSideError
from proof.follow.monitor import Tell
from proof.follow.state import Notice
from proof.mail import MailError, Sender
from proof.webhooks.signing import webhook_headers

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)

_SUCCESS: Final = range(200, 300)


class NoticeError(OtherSideError):
    """A notice was not taken; it is sent again in the next round."""


def by_webhook(
    url: str, log_url: str, secret: bytes | None, now: Callable[[], float] = time.time
) -> Tell:
    """POSTs `{"id", "type", "at", "log", "fault", "message", "evidence"}`, signed as Standard Webhooks
    1.0.0 if there is a secret; `type` is that of the notice."""

    async def tell(notice: Notice) -> None:
        body = msgspec.json.encode(
            {
                "id": notice.id,
                "type": notice.type,
                "at": moment_text(notice.at),
                "log": log_url,
                "fault": notice.fault,
                "message": notice.message,
                "evidence": notice.evidence,
            }
        )
        headers = {"content-type": "application/json"}
        if secret is not None:
            headers |= webhook_headers(UUID(notice.id), int(now()), body, [secret])
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=_TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The URL may hold a token, and aiohttp's errors quote it.
            raise NoticeError(f"the webhook was not told: {type(error).__name__}") from None
        if status not in _SUCCESS:
            raise NoticeError(f"the webhook was not told: it answered {status}")

    return tell


def by_mail(sender: Sender, recipient: str, log_url: str) -> Tell:
    """Mails the notice in plain words."""

    async def tell(notice: Notice) -> None:
        subject = f"Log: {notice.fault or notice.type.removeprefix('log.')}: {log_url}"
        lines = [
            f"{notice.message}\n",
            f"log       {log_url}",
            f"when      {readable_text(notice.at)}",
        ]
        if notice.evidence:
            lines.append(f"evidence  {notice.evidence}")
        try:
            await sender.send(recipient, subject, "\n".join(lines) + "\n")
        except MailError as error:
            raise NoticeError(f"nobody was mailed: {error.message}") from None

    return tell
