"""/providers: what providers post to us. Their signature is their credential."""

from uuid import UUID

from starlette.types import Scope

from proof.api.forms import RAMP
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily
from proof.api.services import Services
from proof.core.errors import NotFoundError
from proof.db.shares import Work


def _account(scope: Scope) -> str:
    account_id: str = scope["path_params"]["account_id"]
    return account_id


# Providers are told of their URL by the operator: no document lists it.
_CALLBACKS = OperationFamily("ramp", Anybody(_account, work=Work.CALLBACK), RAMP, listed=False)


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


def callback_routes(services: Services) -> list[Operation]:
    callback = ProviderHandlers(services).callback
    return [
        Operation(
            _CALLBACKS, "POST", "/providers/{name}/{account_id}/callback", callback,
            "Tell of a transaction", {200: Answer("it is durable")}, raw_body="application/json",
        ),
    ]  # fmt: skip
