"""The URLs of the ramp: the partner's backend, the hosted page, the sandbox, providers, the WebSocket."""

from typing import Any

from starlette.types import Scope

from proof.api.endpoint import presented_token
from proof.api.http import Call, Reply
from proof.api.operations import ANY_METHOD, Answer, Operation, Parameter
from proof.api.ramp.callbacks import ProviderHandlers
from proof.api.ramp.sandbox import (
    AdvanceAnswer,
    AdvanceRequest,
    SandboxHandlers,
    SimulateAnswer,
    SimulateRequest,
)
from proof.api.ramp.sessions import RampHandlers
from proof.api.ramp.websocket import PATH, watch_transaction
from proof.api.ramp.widget import (
    ChallengeRequest,
    KycRequest,
    NothingRequest,
    OpenRequest,
    PayRequest,
    QuoteRequest,
    WidgetHandlers,
)
from proof.api.services import Services
from proof.core.errors import NotFoundError
from proof.db.shares import Work
from proof.partners.access.rates import CallClass
from proof.partners.types import CredentialKind
from proof.ramp.sessions.state import WidgetState
from proof.ramp.sessions.types import KycView, SessionRequest, TransactionView, WidgetParameters
from proof.ramp.sessions.widget import OpenedWidget
from proof.ramp.transactions.updates import UpdateMessage

_TOKEN = CredentialKind.CLIENT_TOKEN

_PAGE_BODY = 16 * 1024


_TRANSACTION = Parameter(
    "merchant_transaction_id",
    "path",
    "a transaction's UUID",
    {"type": "string", "format": "uuid"},
)

_USER = Parameter(
    "partner_user_id",
    "path",
    "your id of the user",
    {"type": "string", "minLength": 1, "maxLength": 255},
)

_TX_ID = Parameter(
    "tx_id",
    "query",
    "a transaction's `merchant_transaction_id`",
    {"type": "string", "format": "uuid"},
)

_IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "any text of your choosing, up to 255 characters: for 24 hours the same key and body get the first"
    " answer again, with `Idempotency-Hit: true`",
    {"type": "string", "pattern": "^[ -~]{1,255}$"},
    required=False,
)


def ramp_routes(services: Services) -> list[Operation]:
    """All operations of the ramp; the order is the order of matching."""
    return [
        *_backend_routes(services),
        *_page_routes(services),
        *_sandbox_routes(services),
        *_provider_routes(services),
        *_websocket_routes(),
    ]


def _backend_routes(services: Services) -> list[Operation]:
    handlers = RampHandlers(services)
    common: dict[str, Any] = {"tag": "ramp", "credential": _TOKEN, "ramp": True}
    return [
        Operation(
            "POST", "/widget/session", handlers.open_session, "Open a session",
            {200: Answer("what the widget is run with, every value as it is", WidgetParameters)},
            **common, call_class=CallClass.SESSION, body=SessionRequest,
            parameters=(_IDEMPOTENCY_KEY,), refuses=(400, 404, 409, 413, 422, 429, 502),
        ),
        Operation(
            "GET", "/widget/transactions/{merchant_transaction_id}", handlers.transaction,
            "WidgetState of a transaction", {200: Answer("the transaction", TransactionView)},
            **common, call_class=CallClass.READ, parameters=(_TRANSACTION,), refuses=(400, 404, 429),
        ),
        Operation(
            "GET", "/widget/users/{partner_user_id:path}/kyc-status", handlers.kyc_status,
            "Whether a user is identified", {200: Answer("how far it is", KycView)},
            **common, call_class=CallClass.READ, parameters=(_USER,), refuses=(400, 404, 429),
        ),
    ]  # fmt: skip


def _sandbox_routes(services: Services) -> list[Operation]:
    handlers = SandboxHandlers(services)
    common: dict[str, Any] = {
        "tag": "ramp",
        "credential": _TOKEN,
        "ramp": True,
        "in_production": False,
        "call_class": CallClass.SANDBOX,
        "in_turn": True,
    }
    return [
        Operation(
            "POST", "/simulate/{merchant_transaction_id}", handlers.simulate,
            "Act as the user, to the end of an outcome",
            {200: Answer("what is being played", SimulateAnswer)},
            **common, body=SimulateRequest, parameters=(_TRANSACTION,),
            refuses=(400, 404, 409, 413, 429),
        ),
        Operation(
            "POST", "/clock/advance", handlers.advance, "Move the sandbox's clock forward",
            {200: Answer("the clock afterwards", AdvanceAnswer)},
            **common, body=AdvanceRequest, refuses=(400, 413, 429),
        ),
    ]  # fmt: skip


def _provider_routes(services: Services) -> list[Operation]:
    """For providers, which are told of their URL by the operator: no document lists them."""
    return [
        Operation(
            "POST", "/providers/{name}/{account_id}/callback", ProviderHandlers(services).callback,
            "Tell of a transaction", {200: Answer("it is durable")},
            tag="ramp", ramp=True, listed=False, raw_body="application/json", work=Work.CALLBACK,
            refuses=(400, 404, 413, 429), own_credential=_account,
        ),
    ]  # fmt: skip


def _account(scope: Scope) -> str:
    account_id: str = scope["path_params"]["account_id"]
    return account_id


def _session(scope: Scope) -> str | None:
    return presented_token(scope["headers"])


def _page_routes(services: Services) -> list[Operation]:
    """Those of the hosted page, which is ours too: they may change with it, so no document lists them."""
    handlers = WidgetHandlers(services)
    state = {200: Answer("how the session stands", WidgetState)}
    common: dict[str, Any] = {
        "own_credential": _session,
        "tag": "ramp",
        "ramp": True,
        "listed": False,
        "work": Work.WIDGET,
        "body_limit": _PAGE_BODY,
        "refuses": (400, 401, 403, 404, 409, 413, 429, 502, 503),
    }
    return [
        Operation(
            "POST", "/w/api/open", handlers.open, "Open the widget",
            {200: Answer("the tab's token and the state", OpenedWidget)}, **common, body=OpenRequest,
        ),
        Operation("GET", "/w/api/state", handlers.state, "WidgetState", state, **common),
        Operation(
            "POST", "/w/api/quote", handlers.quote, "Choose a currency", state, **common,
            body=QuoteRequest,
        ),
        Operation("POST", "/w/api/kyc", handlers.kyc, "Identify", state, **common, body=KycRequest),
        Operation("POST", "/w/api/pay", handlers.pay, "Pay", state, **common, body=PayRequest),
        Operation(
            "POST", "/w/api/challenge", handlers.challenge, "Answer the bank", state, **common,
            body=ChallengeRequest,
        ),
        Operation(
            "POST", "/w/api/deposit", handlers.deposit, "Show the deposit address", state, **common,
            body=NothingRequest,
        ),
        Operation(
            "POST", "/w/api/cancel", handlers.cancel, "Give up", state, **common, body=NothingRequest,
        ),
    ]  # fmt: skip


def _websocket_routes() -> list[Operation]:
    """What /ws answers to a request that opens no WebSocket; the document tells of both."""
    return [
        Operation(
            "GET", PATH, watch_transaction, "Watch a transaction over a WebSocket",
            {101: Answer("the WebSocket is open, and this is each message", UpdateMessage)},
            tag="ramp", credential=_TOKEN, call_class=CallClass.READ, ramp=True,
            parameters=(_TX_ID,), refuses=(400, 404, 426, 429),
        ),
    ]  # fmt: skip


def unknown_paths() -> list[Operation]:
    """What lies below the ramp's paths and is nothing: behind the gate like all that is something there, so
    that a stranger does not learn which is which."""
    return [
        Operation(
            ANY_METHOD, path, _nothing, "There is nothing", {404: Answer("nothing")},
            tag="ramp", credential=_TOKEN, call_class=CallClass.READ, ramp=True, listed=False,
        )
        for path in ("/widget", "/widget/{rest:path}", "/ws/{rest:path}")
    ]  # fmt: skip


async def _nothing(_call: Call) -> Reply:
    raise NotFoundError("there is nothing at this path")
