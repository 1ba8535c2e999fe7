"""/providers: what providers post to us. Their signature is their credential."""

from uuid import UUID

from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.core.errors import NotFoundError


class ProviderHandlers:
    """The handler of callbacks."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def callback(self, call: Call) -> Reply:
        """POST /providers/{name}/{account_id}/callback: 200 when it is durable, and only then."""
        try:
            account_id = UUID(call.path["account_id"])
        except ValueError:
            raise NotFoundError("there is no such provider account") from None
        await self._services.callbacks.receive(
            call.path["name"], account_id, call.edge.environment, call.headers, call.body
        )
        return Reply(200, b"{}")
