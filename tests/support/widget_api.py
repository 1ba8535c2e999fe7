"""A stand-in for the hosted page's API, with the real routes of the page around it, on real HTTP.

It follows the contract of /w/api/ for one step after another; `faults` make it lose requests, lose
answers, or fail. Sessions are dictionaries a test may look into and move by hand.
"""

import asyncio
import json
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from proof.partners.types import Environment
from proof.web.widget.serving import FoundWidget, widget_routes

WIDGET_ID = "wdg_Test1234567890"
WIDGET_ID_PRODUCTION = "wdg_Live1234567890"
ADDRESS = "0x742d35Cc6634C0532925a3b844Bc454e4438f44e"
CARDS = [
    {
        "number": "4242 4242 4242 4242",
        "outcome": "success",
        "description": "Everything goes well.",
    },
    {
        "number": "4000 0000 0000 3220",
        "outcome": "challenge",
        "description": "The bank asks once more (3-D Secure).",
    },
    {
        "number": "4000 0000 0000 0341",
        "outcome": "declined_then_success",
        "description": "The first attempt is declined, the next goes through.",
    },
    {
        "number": "4000 0000 0000 0002",
        "outcome": "declined",
        "description": "Every attempt is declined.",
    },
]
_RATES = {"EUR": 0.92, "USD": 1.0}
_PRICES = {"BTC": 66_412.0, "USDT": 1.0}
_START_S = 60.0


@dataclass
class FakeSession:
    """One transaction: its state as the page gets it, and what the page did to it."""

    init_token: str
    state: dict[str, Any]
    kyc: str = "verified"
    opened: bool = False
    expired: bool = False
    token: str = ""
    attempts: dict[str, str] = field(default_factory=dict)
    charged: int = 0


@dataclass
class WidgetApi:
    """All sessions, every request body as it came, and the faults to come.

    `faults` maps a call's name to what happens to its next calls, one entry each: "lost" (never reached
    us), "unanswered" (done, but the answer is lost), or a status to fail with.
    """

    sessions: dict[str, FakeSession] = field(default_factory=dict)
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    faults: dict[str, list[str | int]] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    provider: str | None = None
    ahead: timedelta = timedelta()
    base: str = ""

    def create(self, *, kyc: str = "verified", **changes: Any) -> dict[str, Any]:
        """A session; its answer as `POST /widget/session` gives it, in snake case."""
        transaction = str(uuid4())
        state = _state(transaction) | changes
        if state["type"] == "sell":
            state |= {"payment_methods": [], "test_cards": []}
        state["quote"] = _quote(state, "EUR")
        state["kyc"] = kyc
        state["step"] = changes.get("step", _first_step(state))
        session = FakeSession(secrets.token_urlsafe(16), state)
        self.sessions[transaction] = session
        return {
            "merchant_transaction_id": transaction,
            "widget_id": WIDGET_ID,
            "address": ADDRESS,
            "signature": "v2:" + "ab" * 64,
            "init_token": session.init_token,
            "init_token_type": "sdk_partner_authorization",
            "currency": state["currency"],
            "network": state["network"],
            "amount": state["crypto_amount"],
            "type": state["type"],
            "lang": state["lang"],
            "theme": state["theme"],
            "redirect_url": state["redirect_url"],
        }

    def now(self) -> str:
        """The environment's time; a sandbox's is `ahead` of the clock."""
        return _time(seconds=self.ahead.total_seconds())

    async def find(self, widget_id: str) -> FoundWidget | None:
        known = {
            WIDGET_ID: Environment.SANDBOX,
            WIDGET_ID_PRODUCTION: Environment.PRODUCTION,
        }
        if widget_id not in known:
            return None
        return FoundWidget(known[widget_id], self.origins, self.provider)

    async def call(self, request: Request) -> Response:
        name = request.path_params["name"]
        raw = await request.body()
        self.bodies.append((name, raw))
        waiting = self.faults.get(name)
        fault = waiting.pop(0) if waiting else None
        if fault == "lost":
            return Response(status_code=502)
        if isinstance(fault, int):
            return _error(fault, "internal_error", "it failed on purpose")
        answer = self._answer(name, request, json.loads(raw) if raw else {})
        return Response(status_code=502) if fault == "unanswered" else answer

    def _answer(self, name: str, request: Request, body: dict[str, Any]) -> Response:
        if name == "open":
            return self._open(request, body)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        session = next(
            (one for one in self.sessions.values() if token and one.token == token), None
        )
        if session is None or session.expired:
            return _error(401, "invalid_token", "the widget session is over")
        getattr(self, f"_{name}")(session, body)
        session.state["now"] = self.now()
        return JSONResponse(session.state)

    def _open(self, request: Request, body: dict[str, Any]) -> Response:
        session = self.sessions.get(body["merchant_transaction_id"])
        if body["widget_id"] != WIDGET_ID:
            return _error(404, "not_found", "no such widget")
        if session is None or session.init_token != body["init_token"]:
            return _error(401, "invalid_token", "no such session")
        if session.expired:
            return _error(401, "init_token_expired", "the token is over an hour old")
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if session.opened and (not token or token != session.token):
            return _error(401, "init_token_used", "the token was used before")
        if body["signature"] != "v2:" + "ab" * 64:
            return _error(400, "signature_invalid", "the signature is not ours")
        amount = (body.get("options") or {}).get("amount", session.state["crypto_amount"])
        if amount != session.state["crypto_amount"]:
            return _error(400, "options_differ", "amount differs from the session")
        session.opened, session.token = True, session.token or secrets.token_urlsafe(32)
        session.state["now"] = self.now()
        return JSONResponse(
            {
                "session_token": session.token,
                "expires_at": session.state["session_expires_at"],
                "state": session.state,
            }
        )

    def _state(self, session: FakeSession, _body: Mapping[str, Any]) -> None:
        """Looking moves nothing."""

    def _quote(self, session: FakeSession, body: Mapping[str, Any]) -> None:
        session.state["quote"] = _quote(session.state, body["fiat_currency"])

    def _kyc(self, session: FakeSession, body: Mapping[str, Any]) -> None:
        assert body["document"] in {"passport", "id_card", "driving_licence"}
        assert body["liveness"] is True
        session.state["kyc"] = "pending"

    def _pay(self, session: FakeSession, body: Mapping[str, Any]) -> None:
        state, attempt = session.state, body["attempt_id"]
        if attempt in session.attempts or state["status"] != "pending":
            return
        outcome = body["outcome"] or "success"
        result = {"challenge": "challenge", "declined": "declined"}.get(outcome, "captured")
        if outcome == "declined_then_success" and not session.attempts:
            result = "declined"
        session.attempts[attempt] = result
        state["attempt"] = {"id": attempt, "method": body["method"], "result": result}
        self._after(session)

    def _challenge(self, session: FakeSession, body: Mapping[str, Any]) -> None:
        attempt = session.state["attempt"]
        if attempt["id"] == body["attempt_id"] and attempt["result"] == "challenge":
            attempt["result"] = "captured" if body["passed"] else "declined"
            self._after(session)

    def _after(self, session: FakeSession) -> None:
        state = session.state
        result = state["attempt"]["result"]
        state["step"] = {"challenge": "challenge", "captured": "processing"}.get(result, "pay")
        if result == "captured":
            session.charged += 1
            state |= {"status": "processing", "payment_method": state["attempt"]["method"]}

    def _deposit(self, session: FakeSession, _body: Mapping[str, Any]) -> None:
        state = session.state
        state["deposit"] = state["deposit"] or {
            "address": ADDRESS,
            "network": state["network"],
            "amount": state["crypto_amount"],
            "expires_at": _time(hours=6),
            "flow_id": "payout",
            "id": str(uuid4()),
        }

    def _cancel(self, session: FakeSession, _body: Mapping[str, Any]) -> None:
        if session.state["status"] == "pending":
            session.state |= {"status": "cancelled", "step": "done"}

    def routes(self) -> list[BaseRoute]:
        """Both environments, as one process serves them."""
        urls = {
            Environment.PRODUCTION: self.base,
            Environment.SANDBOX: f"{self.base}/sandbox",
        }

        def below(environment: Environment) -> list[BaseRoute]:
            call = Route("/w/api/{name}", self.call, methods=["GET", "POST"])
            pages = [
                Route(route.path, _Placed(route.app, environment))
                for route in widget_routes(self.find, urls)
            ]
            return [call, *pages]

        return [
            Mount("/sandbox", routes=below(Environment.SANDBOX)),
            *below(Environment.PRODUCTION),
        ]


class _Placed:
    """What the edge does: the environment, and the path below its base URL."""

    def __init__(self, app: ASGIApp, environment: Environment) -> None:
        self._app = app
        self._environment = environment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        edge = SimpleNamespace(environment=self._environment)
        await self._app({**scope, "path": path, "proof": edge}, receive, send)


@contextmanager
def http_served(make: Callable[[str], ASGIApp]) -> Iterator[str]:
    """An application on a free port of loopback, in a thread; its URL. `make` takes that URL."""
    socket = uvicorn.Config(lambda: None, port=0).bind_socket()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    server = uvicorn.Server(
        uvicorn.Config(make(url), log_level="error", lifespan="off", ws="none", access_log=False)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[socket])))
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(_START_S)
        socket.close()


@contextmanager
def widget_served() -> Iterator[WidgetApi]:
    """The page and the stand-in behind it; `base` is where."""
    api = WidgetApi()

    def make(url: str) -> ASGIApp:
        api.base = url
        return Starlette(routes=api.routes())

    with http_served(make):
        yield api


def partner_site(page: Callable[[Request], Awaitable[str]]) -> Callable[[str], ASGIApp]:
    """A partner's site of one page."""

    async def answer(request: Request) -> Response:
        return HTMLResponse(await page(request))

    return lambda _url: Starlette(routes=[Route("/{path:path}", answer)])


def _state(transaction: str) -> dict[str, Any]:
    state: dict[str, Any] = {
        "merchant_transaction_id": transaction,
        "widget_id": WIDGET_ID,
        "environment": "sandbox",
        "partner_name": "Acme Exchange",
        "type": "buy",
        "status": "pending",
        "provider": "sandbox",
        "currency": "BTC",
        "network": "BTC",
        "crypto_amount": "0.015",
        "address": "0x742d…f44e",
        "fiat_currencies": ["EUR", "USD"],
        "lang": "en",
        "theme": "light",
        "redirect_url": "",
        "attempt": {"id": None, "method": None, "result": "none"},
        "payment_methods": ["card", "apple_pay", "google_pay"],
        "payment_method": "",
        "fiat_currency": "",
        "fiat_amount": "",
        "fiat_fee": "",
        "rate": "",
        "failure_reason": "",
        "chain_transaction": "",
        "chain_transaction_url": "",
        "occurred_at": _time(),
        "test_cards": CARDS,
        "deposit": None,
        "handover": None,
        "session_expires_at": _time(hours=24),
        "updated_at": _time(),
    }
    return state


def _quote(state: Mapping[str, Any], fiat: str) -> dict[str, str]:
    price = float(state["crypto_amount"]) * _PRICES[state["currency"]] * _RATES[fiat]
    fee = price * 0.0195
    total = price + fee if state["type"] == "buy" else price - fee
    return {
        "fiat_currency": fiat,
        "fiat_amount": f"{total:.2f}",
        "fiat_fee": f"{fee:.2f}",
        "price": f"{price:.2f}",
        "rate": str(_PRICES[state["currency"]] * _RATES[fiat]),
        "expires_at": _time(minutes=10),
    }


def _first_step(state: Mapping[str, Any]) -> str:
    if state["status"] != "pending":
        return "processing" if state["status"] == "processing" else "done"
    if state["kyc"] != "verified":
        return "kyc"
    return "pay" if state["type"] == "buy" else "deposit"


def _time(**after: float) -> str:
    moment = datetime.now(UTC) + timedelta(**after)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _error(status: int, code: str, message: str) -> Response:
    slug = {400: "invalid_request", 401: "unauthorised", 404: "not_found"}.get(status, code)
    return JSONResponse({"error": slug, "code": code, "message": message}, status)
