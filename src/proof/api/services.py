"""What the handlers delegate to."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from proof.core.clock import Clock
from proof.core.secrets import Vault
from proof.db import Connection, Database
from proof.outbound import OutboundClient, OutboundPolicy
from proof.partners.gate import Gate
from proof.partners.operators import Operators
from proof.partners.types import Environment
from proof.timestamps.proofs.service import Proofs
from proof.timestamps.submissions.service import Submissions
from proof.timestamps.submissions.usage import Meter


@dataclass(frozen=True, slots=True)
class Services:
    """The slices' services of one process."""

    database: Database
    clock: Clock
    gate: Gate
    operators: Operators
    submissions: Submissions
    proofs: Proofs
    meter: Meter
    outbound: OutboundClient
    policy: OutboundPolicy
    vault: Vault
    base_urls: Mapping[Environment, str]
    webhook_secrets: Callable[[Connection, int], Awaitable[Sequence[bytes]]]
    readiness: Callable[[], Awaitable[Sequence[str]]]
