"""/widget: sessions for partners' backends, and what they read of them."""

import msgspec
from starlette.datastructures import Headers

from proof.api.http import NOT_KEPT, Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.ramp.families import READING, SESSIONS, TRANSACTION
from proof.api.ramp.receipts import ReceiptFile
from proof.api.services import Services
from proof.core.errors import InvalidInputError
from proof.ramp.sessions.service import KEY_MAX, check_key, transaction_id_of
from proof.ramp.sessions.types import (
    USER_ID_MAX,
    KycView,
    SessionRequest,
    TransactionView,
    WidgetParameters,
)

_encode = msgspec.json.Encoder().encode

_HIT = ((b"idempotency-hit", b"true"),)

_USER = Parameter(
    "partner_user_id",
    "path",
    "your id of the user",
    {"type": "string", "minLength": 1, "maxLength": USER_ID_MAX},
)

_IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    f"any text of your choosing, up to {KEY_MAX} characters: for 24 hours the same key and body get the"
    " first answer again, with `Idempotency-Hit: true`",
    {"type": "string", "pattern": f"^[ -~]{{1,{KEY_MAX}}}$"},
    required=False,
)


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

    async def receipt(self, call: Call) -> Reply:
        """GET /widget/transactions/{merchant_transaction_id}/receipt."""
        transaction_id = transaction_id_of(call.path["merchant_transaction_id"])
        found = await self._services.receipts.receipt(call.caller.id, transaction_id)
        return Reply(200, found, headers=(NOT_KEPT,))

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


def session_routes(services: Services) -> list[Operation]:
    handlers = RampHandlers(services)
    return [
        Operation(
            SESSIONS, "POST", "/widget/session", handlers.open_session, "Open a session",
            {200: Answer("what the widget is run with, every value as it is", WidgetParameters)},
            body=SessionRequest, parameters=(_IDEMPOTENCY_KEY,), refuses=(404, 409, 422, 502),
        ),
        Operation(
            READING, "GET", "/widget/transactions/{merchant_transaction_id}", handlers.transaction,
            "State of a transaction", {200: Answer("the transaction", TransactionView)},
            parameters=(TRANSACTION,), refuses=(404,),
        ),
        Operation(
            READING, "GET", "/widget/transactions/{merchant_transaction_id}/receipt", handlers.receipt,
            "Receipt of a transaction", {200: Answer("its records with their proofs so far", ReceiptFile)},
            parameters=(TRANSACTION,), refuses=(404,),
        ),
        Operation(
            READING, "GET", "/widget/users/{partner_user_id:path}/kyc-status", handlers.kyc_status,
            "Whether a user is identified", {200: Answer("how far it is", KycView)},
            parameters=(_USER,), refuses=(404,),
        ),
    ]  # fmt: skip
