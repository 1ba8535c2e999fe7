"""The URLs of the ramp: the partner's backend, the hosted page, the sandbox, providers, the WebSocket."""

from dataclasses import replace

from starlette.types import Scope

from proof.api.endpoint import presented_token
from proof.api.forms import RAMP
from proof.api.http import Call, Reply
from proof.api.operations import (
    ANY_METHOD,
    Answer,
    Anybody,
    Operation,
    OperationFamily,
    Parameter,
    PartnerCredential,
)
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
from proof.partners.types import CredentialKind, Environment
from proof.ramp.sessions.service import KEY_MAX
from proof.ramp.sessions.state import WidgetState
from proof.ramp.sessions.types import (
    USER_ID_MAX,
    KycView,
    SessionRequest,
    TransactionView,
    WidgetParameters,
)
from proof.ramp.sessions.widget import OpenedWidget
from proof.ramp.transactions.updates import UpdateMessage


def _account(scope: Scope) -> str:
    account_id: str = scope["path_params"]["account_id"]
    return account_id


def _session(scope: Scope) -> str | None:
    return presented_token(scope["headers"])


def _backend(call_class: CallClass) -> OperationFamily:
    """Those of a partner's backend. A stranger learns neither which paths nor which methods there are."""
    access = PartnerCredential(CredentialKind.CLIENT_TOKEN, call_class, from_browsers=False)
    return OperationFamily("ramp", access, RAMP, gated_paths=True)


_SESSIONS = _backend(CallClass.SESSION)
_READING = _backend(CallClass.READ)
_SANDBOX = replace(_backend(CallClass.SANDBOX), environments=(Environment.SANDBOX,))
_NOTHING = replace(_READING, listed=False)

# Providers are told of their URL by the operator: no document lists it.
_CALLBACKS = OperationFamily("ramp", Anybody(_account, work=Work.CALLBACK), RAMP, listed=False)

# Those of the hosted page, which is ours too: they may change with it, so no document lists them.
_PAGE = OperationFamily(
    "ramp", Anybody(_session, work=Work.WIDGET), RAMP, listed=False, body_limit=16 * 1024
)

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
    {"type": "string", "minLength": 1, "maxLength": USER_ID_MAX},
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
    f"any text of your choosing, up to {KEY_MAX} characters: for 24 hours the same key and body get the"
    " first answer again, with `Idempotency-Hit: true`",
    {"type": "string", "pattern": f"^[ -~]{{1,{KEY_MAX}}}$"},
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
    return [
        Operation(
            _SESSIONS, "POST", "/widget/session", handlers.open_session, "Open a session",
            {200: Answer("what the widget is run with, every value as it is", WidgetParameters)},
            body=SessionRequest, parameters=(_IDEMPOTENCY_KEY,), refuses=(404, 409, 422, 502),
        ),
        Operation(
            _READING, "GET", "/widget/transactions/{merchant_transaction_id}", handlers.transaction,
            "State of a transaction", {200: Answer("the transaction", TransactionView)},
            parameters=(_TRANSACTION,), refuses=(404,),
        ),
        Operation(
            _READING, "GET", "/widget/users/{partner_user_id:path}/kyc-status", handlers.kyc_status,
            "Whether a user is identified", {200: Answer("how far it is", KycView)},
            parameters=(_USER,), refuses=(404,),
        ),
    ]  # fmt: skip


def _sandbox_routes(services: Services) -> list[Operation]:
    handlers = SandboxHandlers(services)
    return [
        Operation(
            _SANDBOX, "POST", "/simulate/{merchant_transaction_id}", handlers.simulate,
            "Act as the user, to the end of an outcome",
            {200: Answer("what is being played", SimulateAnswer)},
            body=SimulateRequest, parameters=(_TRANSACTION,), refuses=(404, 409), in_turn=True,
        ),
        Operation(
            _SANDBOX, "POST", "/clock/advance", handlers.advance, "Move the sandbox's clock forward",
            {200: Answer("the clock afterwards", AdvanceAnswer)},
            body=AdvanceRequest, in_turn=True,
        ),
    ]  # fmt: skip


def _provider_routes(services: Services) -> list[Operation]:
    callback = ProviderHandlers(services).callback
    return [
        Operation(
            _CALLBACKS, "POST", "/providers/{name}/{account_id}/callback", callback,
            "Tell of a transaction", {200: Answer("it is durable")}, raw_body="application/json",
        ),
    ]  # fmt: skip


def _page_routes(services: Services) -> list[Operation]:
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
            _PAGE, "POST", "/w/api/cancel", handlers.cancel, "Give up", state, body=NothingRequest,
        ),
    ]  # fmt: skip


def _websocket_routes() -> list[Operation]:
    """What /ws answers to a request that opens no WebSocket; the document tells of both."""
    return [
        Operation(
            _READING, "GET", PATH, watch_transaction, "Watch a transaction over a WebSocket",
            {101: Answer("the WebSocket is open, and this is each message", UpdateMessage)},
            parameters=(_TX_ID,), refuses=(404, 426),
        ),
    ]  # fmt: skip


def unknown_paths() -> list[Operation]:
    """What lies below the ramp's paths and is nothing: behind the gate like all that is something there, so
    that a stranger does not learn which is which."""
    return [
        Operation(
            _NOTHING, ANY_METHOD, path, _nothing, "There is nothing", {404: Answer("nothing")},
        )
        for path in ("/widget", "/widget/{rest:path}", "/ws/{rest:path}")
    ]  # fmt: skip


async def _nothing(_call: Call) -> Reply:
    raise NotFoundError("there is nothing at this path")
