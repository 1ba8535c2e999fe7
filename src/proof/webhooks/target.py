"""The endpoint of one type of event, for those who set it and know nothing else of webhooks."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from proof.db import Connection
from proof.outbound import OutboundPolicy
from proof.webhooks.service import endpoints, set_endpoint


def audited(url: str) -> str:
    """A target as the audit log holds it: whatever follows the host may be a secret of the receiver's."""
    parts = urlsplit(url)
    rest = parts.path.strip("/") or parts.query
    return f"{parts.scheme}://{parts.netloc}/{'…' if rest else ''}" if url else ""


@dataclass(frozen=True, slots=True)
class Target:
    """Reads and sets where events of the type `purpose` go."""

    policy: OutboundPolicy
    purpose: str

    async def get(self, connection: Connection, partner_environment_id: int) -> str:
        """The URL, empty when there is none."""
        return (await endpoints(connection, partner_environment_id)).get(self.purpose, "")

    async def put(self, tx: Connection, partner_environment_id: int, url: str) -> None:
        """Set the URL; an empty one removes it. Raises InvalidTargetError when the policy refuses it."""
        await set_endpoint(tx, self.policy, partner_environment_id, self.purpose, url)
