"""Where a partner's transaction events go. Kept by the webhooks, which stand above partners."""

from typing import Protocol

from proof.db import Connection

# The type of event whose endpoint it is.
TRANSACTION_EVENT = "transaction"


class WebhookTarget(Protocol):
    """The endpoint of one type of event, for each partner environment."""

    async def get(self, connection: Connection, partner_environment_id: int) -> str:
        """Its URL, empty when there is none."""
        ...

    async def put(self, tx: Connection, partner_environment_id: int, url: str) -> None:
        """Set the URL, or remove it when empty. Raises InvalidInputError for one that is not allowed."""
        ...
