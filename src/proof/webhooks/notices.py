"""What people are told about endpoints."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import structlog

_log = structlog.get_logger(__name__)


class Change(StrEnum):
    """What became of an endpoint."""

    OPENED = "opened"
    DISABLED = "disabled"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class EndpointNotice:
    """A change somebody should know. Names the host; the rest of the URL may hold a token."""

    endpoint_id: UUID
    partner_environment_id: int
    purpose: str
    host: str
    change: Change
    reason: str
    at: datetime


class Notifier(Protocol):
    """Who is told at once of changes, beside those who get mail.

    Called once for each change by the one worker that made it, never again: what fails or is cut off by a
    crash is lost. Mail is not: it is a row written together with the change, see `mailing`.
    """

    async def endpoint_changed(self, notice: EndpointNotice) -> None:
        """Tell it. What it raises is logged and changes nothing."""
        ...


class LogNotifier:
    """Tells the operator's log alone."""

    async def endpoint_changed(self, notice: EndpointNotice) -> None:
        say = _log.info if notice.change is Change.RECOVERED else _log.warning
        say(
            f"webhook endpoint {notice.change}",
            endpoint_id=str(notice.endpoint_id),
            partner_environment_id=notice.partner_environment_id,
            purpose=notice.purpose,
            host=notice.host,
            reason=notice.reason,
        )
