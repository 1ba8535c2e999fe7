"""What the handlers delegate to."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from proof.api.ramp.watches import Watches
from proof.core.clock import Clock
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.mail import Sender
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.access.anonymous import AnonymousRates
from proof.partners.access.directory import Directory
from proof.partners.access.gate import Gate
from proof.partners.access.operators import Operators
from proof.partners.types import Environment
from proof.ramp.providers.receiving import CallbackReceiver
from proof.ramp.providers.registry import Providers
from proof.ramp.sessions.service import Sessions
from proof.ramp.sessions.widget import Widgets
from proof.receipts.service import Receipts
from proof.receipts.statements import Statements
from proof.timestamps.anchors.health import Part
from proof.timestamps.calendar import Calendar
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.submissions.usage import Meter
from proof.timestamps.tsa.service import TimeStampingAuthority


@dataclass(frozen=True, slots=True)
class Services:
    """The slices' services of one process."""

    database: Database
    clock: Clock
    gate: Gate
    operators: Operators
    directory: Directory
    submissions: Submissions
    sessions: Sessions
    providers: Providers
    callbacks: CallbackReceiver
    widgets: Widgets
    proofs: Proofs
    receipts: Receipts
    statements: Statements
    meter: Meter
    outbound: OutboundClient
    policy: OutboundPolicy
    vault: Vault
    base_urls: Mapping[Environment, str]
    webhook_secrets: Callable[[Connection, int], Awaitable[Sequence[bytes]]]
    readiness: Callable[[], Awaitable[Sequence[str]]]
    parts: Callable[[], Awaitable[Sequence[Part]]]
    anonymous: AnonymousRates
    tsa: TimeStampingAuthority | None
    calendar: Calendar | None
    watches: Watches
    mailer: Sender | None
