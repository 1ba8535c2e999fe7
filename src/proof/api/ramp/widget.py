"""/w/api: what the hosted page asks for its user. The tab's own token is the only credential."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from starlette.types import Scope

from proof.api.endpoint import presented_token
from proof.api.forms import RAMP
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily
from proof.api.services import Services
from proof.core.errors import InvalidInputError, NotFoundError
from proof.db.shares import Work
from proof.ramp.providers.protocols import PaymentMethod
from proof.ramp.sessions.admission import Opening
from proof.ramp.sessions.errors import UnauthorisedError
from proof.ramp.sessions.state import WidgetState
from proof.ramp.sessions.widget import OpenedWidget

_encode = msgspec.json.Encoder().encode

# A browser or proxy that stored one user's answer could show it to another.
_NO_STORE = ((b"cache-control", b"no-store"),)


class _Request(Struct, forbid_unknown_fields=True):
    pass


class OpenRequest(_Request):
    widget_id: str
    init_token: str
    merchant_transaction_id: str
    signature: str
    options: dict[str, Any] = {}


class QuoteRequest(_Request):
    fiat_currency: str


class KycRequest(_Request):
    """`liveness`: the camera saw a living face."""

    document: Literal["passport", "id_card", "driving_licence"]
    liveness: bool


class PayRequest(_Request):
    """`outcome` is that of the test card typed; the number itself stays in the browser."""

    attempt_id: UUID
    method: PaymentMethod
    outcome: Annotated[str, Meta(max_length=64)] | None = None


class ChallengeRequest(_Request):
    attempt_id: UUID
    passed: bool


class NothingRequest(_Request):
    pass


class ReceiptUrl(Struct):
    """Where the user finds the receipt; whoever has the whole of it may read it."""

    url: str


def _session(scope: Scope) -> str | None:
    return presented_token(scope["headers"])


# Those of the hosted page, which is ours too: they may change with it, so no document lists them.
_PAGE = OperationFamily(
    "ramp", Anybody(_session, work=Work.WIDGET), RAMP, listed=False, body_limit=16 * 1024
)


class WidgetHandlers:
    """The handlers of the hosted page."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def open(self, call: Call) -> Reply:
        """POST /w/api/open."""
        body: OpenRequest = call.body
        if not await self._services.directory.has_widget(body.widget_id):
            raise NotFoundError("widget_id: there is no such widget")
        opened = await self._services.widgets.open(
            call.edge.environment,
            Opening(
                widget_id=body.widget_id,
                init_token=body.init_token,
                merchant_transaction_id=body.merchant_transaction_id,
                signature=body.signature,
                options=body.options,
                address=call.edge.address,
                session_token=presented_token(call.headers.raw),
            ),
        )
        return Reply(200, _encode(opened), headers=_NO_STORE)

    async def state(self, call: Call) -> Reply:
        """GET /w/api/state."""
        return _reply(await self._services.widgets.state(call.edge.environment, _token(call)))

    async def quote(self, call: Call) -> Reply:
        """POST /w/api/quote."""
        body: QuoteRequest = call.body
        return _reply(
            await self._services.widgets.choose_fiat(
                call.edge.environment, _token(call), body.fiat_currency
            )
        )

    async def kyc(self, call: Call) -> Reply:
        """POST /w/api/kyc."""
        body: KycRequest = call.body
        if not body.liveness:
            raise InvalidInputError("liveness: without it there is no identification")
        return _reply(
            await self._services.widgets.submit_kyc(
                call.edge.environment, _token(call), body.document
            )
        )

    async def pay(self, call: Call) -> Reply:
        """POST /w/api/pay."""
        body: PayRequest = call.body
        return _reply(
            await self._services.widgets.pay(
                call.edge.environment, _token(call), body.attempt_id, body.method, body.outcome
            )
        )

    async def challenge(self, call: Call) -> Reply:
        """POST /w/api/challenge."""
        body: ChallengeRequest = call.body
        return _reply(
            await self._services.widgets.answer_challenge(
                call.edge.environment, _token(call), body.attempt_id, passed=body.passed
            )
        )

    async def deposit(self, call: Call) -> Reply:
        """POST /w/api/deposit."""
        return _reply(
            await self._services.widgets.show_deposit(call.edge.environment, _token(call))
        )

    async def receipt(self, call: Call) -> Reply:
        """POST /w/api/receipt."""
        environment = call.edge.environment
        link = await self._services.widgets.receipt_link(environment, _token(call))
        url = self._services.base_urls[environment] + link.path
        return Reply(200, _encode(ReceiptUrl(url)), headers=_NO_STORE)

    async def cancel(self, call: Call) -> Reply:
        """POST /w/api/cancel."""
        return _reply(await self._services.widgets.cancel(call.edge.environment, _token(call)))


def _token(call: Call) -> str:
    token = presented_token(call.headers.raw)
    if not token:
        raise UnauthorisedError("send the session's token as Authorization: Bearer")
    return token


def _reply(state: WidgetState) -> Reply:
    return Reply(200, _encode(state), headers=_NO_STORE)


def widget_routes(services: Services) -> list[Operation]:
    handlers = WidgetHandlers(services)
    state = {200: Answer("how the session stands", WidgetState)}
    return [
        Operation(
            _PAGE, "POST", "/w/api/open", handlers.open, "Open the widget",
            {200: Answer("the tab's token and the state", OpenedWidget)}, body=OpenRequest,
        ),
        Operation(_PAGE, "GET", "/w/api/state", handlers.state, "State of the session", state),
        Operation(
            _PAGE, "POST", "/w/api/quote", handlers.quote, "Choose a currency", state,
            body=QuoteRequest,
        ),
        Operation(_PAGE, "POST", "/w/api/kyc", handlers.kyc, "Identify", state, body=KycRequest),
        Operation(_PAGE, "POST", "/w/api/pay", handlers.pay, "Pay", state, body=PayRequest),
        Operation(
            _PAGE, "POST", "/w/api/challenge", handlers.challenge, "Answer the bank", state,
            body=ChallengeRequest,
        ),
        Operation(
            _PAGE, "POST", "/w/api/deposit", handlers.deposit, "Show the deposit address", state,
            body=NothingRequest,
        ),
        Operation(
            _PAGE, "POST", "/w/api/receipt", handlers.receipt, "Where the receipt is",
            {200: Answer("the address of its page", ReceiptUrl)}, body=NothingRequest,
        ),
        Operation(
            _PAGE, "POST", "/w/api/cancel", handlers.cancel, "Give up", state, body=NothingRequest,
        ),
    ]  # fmt: skip
