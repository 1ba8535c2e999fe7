"""/widget: sessions for partners' backends, and what they read of them."""

import msgspec
from starlette.datastructures import Headers

from proof.api.http import Call, Reply
from proof.api.services import Services
from proof.core.errors import InvalidInputError
from proof.ramp.sessions.service import check_key

_encode = msgspec.json.Encoder().encode

_HIT = ((b"idempotency-hit", b"true"),)


class RampHandlers:
    """The handlers of the ramp product, for partners' backends."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def open_session(self, call: Call) -> Reply:
        """POST /widget/session."""
        opened = await self._services.sessions.open(
            call.caller, call.body, idempotency_key(call.headers)
        )
        return Reply(200, _encode(opened.parameters), headers=_HIT if opened.replayed else ())

    async def transaction(self, call: Call) -> Reply:
        """GET /widget/transactions/{merchant_transaction_id}."""
        found = await self._services.sessions.transaction(
            call.caller, call.path["merchant_transaction_id"]
        )
        return Reply(200, _encode(found))

    async def kyc_status(self, call: Call) -> Reply:
        """GET /widget/users/{partner_user_id}/kyc-status."""
        found = await self._services.sessions.kyc_status(call.caller, call.path["partner_user_id"])
        return Reply(200, _encode(found))


def idempotency_key(headers: Headers) -> str | None:
    """The request's Idempotency-Key, None without one. Raises InvalidInputError for two or a malformed
    one."""
    found = headers.getlist("idempotency-key")
    if not found:
        return None
    if len(found) > 1:
        raise InvalidInputError("Idempotency-Key: one is possible, not several")
    return check_key(found[0])
