"""A stand-in for Mercuryo, written from the ramp API contract: its API over real HTTP, its callbacks and
their signature. Legs have the shape its callbacks and answers have."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from tests.support.ports import free_port
from tests.support.provider_suite import AMOUNT

from proof.ramp.providers.registry import provider_named

PARTNER_TOKEN = "partner-token"
SIGN_KEY = "sign-key"
SECRET = "your_secret_key_123"


def leg(kind: str, status: str, name: str, at: str = "2026-01-02 03:04:05", **more: Any) -> Any:
    """One leg as a callback's `data` has it."""
    sale = kind in {"deposit", "sell"}
    return {
        "id": f"0{kind}1a2b3c",
        "type": kind,
        "status": status,
        "merchant_transaction_id": name,
        "amount": "25.50000000",
        "currency": "USDT",
        "fiat_amount": "23.40",
        "fiat_currency": "EUR",
        "payment_method": None if sale or kind == "withdraw" else "card",
        "created_at": "2026-01-02 03:00:00",
        "updated_at": at,
        "user": {"uuid4": "3292c753-6809-492a-9acd-1ccdbf2fa91e", "country_code": "de"},
        **more,
    }


def callback(data: Any, *, spaced: bool = False) -> bytes:
    """The body of a callback, with white space in it or not."""
    separators = None if spaced else (",", ":")
    return json.dumps({"data": data}, separators=separators).encode()


def signature(body: bytes, key: str = SIGN_KEY) -> str:
    """X-Signature over exactly these bytes."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


class Mercuryo:
    """Listens on 127.0.0.1 while its `with` block lasts.

    `users` are the e-mails it knows, `transactions` the rows it answers, `seen` every request as method,
    path, headers and body. `fails` is answered instead of anything else: a status, or bytes with a 200.
    """

    def __init__(self) -> None:
        self.users: set[str] = set()
        self.transactions: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.fails: int | bytes | None = None
        self.type_name = "init_token_type"

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"mercuryo": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its API, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1.6"

    def answer(self, method: str, target: str, headers: dict[str, str], body: Any) -> Any:
        """Status and body of one request."""
        parts = urlsplit(target)
        self.seen.append((method, target, headers, body))
        if self.fails is not None:
            return (200, self.fails) if isinstance(self.fails, bytes) else (self.fails, {})
        if headers.get("sdk-partner-token") != PARTNER_TOKEN:
            return 403, {"status": 403, "code": 403001, "message": "access denied"}
        match method, parts.path:
            case "POST", "/v1.6/sdk-partner/login":
                return self._login(body)
            case "POST", "/v1.6/sdk-partner/sign-up":
                return self._sign_up(body)
            case "GET", "/v1.6/sdk-partner/transactions":
                (name,) = parse_qs(parts.query)["merchant_transaction_id"]
                rows = [row for row in self.transactions if _is_about(row, name)]
                return 200, {"status": 200, "data": rows}
        return 404, {"status": 404, "code": 404000, "message": "not found"}

    def _login(self, body: Any) -> Any:
        if body["email"] not in self.users:
            return 404, {"status": 404, "code": 404001, "message": "user not found"}
        return 200, self._token()

    def _sign_up(self, body: Any) -> Any:
        if body.get("accept") is not True or body["email"] in self.users:
            return 400, {"status": 400, "code": 400002, "message": "wrong request"}
        self.users.add(body["email"])
        return 200, self._token()

    def _token(self) -> dict[str, Any]:
        named = {self.type_name: "sdk_partner_authorization"}
        return {"status": 200, "data": {"init_token": "0a25dd714163a9006", **named}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mercuryo: Mercuryo

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer = self.mercuryo.answer(self.command, self.path, headers, body)
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.send_header("connection", "close")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(text)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


def _is_about(row: dict[str, Any], name: str) -> bool:
    return any(item and item["merchant_transaction_id"] == name for item in row.values())


def closed_url() -> str:
    """An API where nobody listens."""
    return f"http://127.0.0.1:{free_port()}/v1.6"


class MercuryoLab:
    """The suite's laboratory over the stand-in, an AskedLab."""

    provider = provider_named("mercuryo")

    def __init__(self, server: Mercuryo) -> None:
        self._server = server
        self.credentials: Mapping[str, str] = {
            "widget_id": "wid",
            "widget_secret": SECRET,
            "sign_key": SIGN_KEY,
            "sdk_partner_token": PARTNER_TOKEN,
            "api_url": server.url,
        }

    def callback(self, name: UUID, kind: str, status: str, amount: str) -> bytes:
        return callback(leg(kind, status, str(name), amount=amount))

    def signed(self, body: bytes) -> Mapping[str, str]:
        return {"x-signature": signature(body)}

    def says(self, name: UUID, statements: Sequence[tuple[str, str]]) -> None:
        found = [
            (kind, leg(kind, status, str(name), f"2026-01-02 03:04:{second:02}", amount=AMOUNT))
            for second, (kind, status) in enumerate(statements)
        ]
        self._server.transactions = [dict(reversed(found))]

    def fails(self, answer: int | bytes) -> None:
        self._server.fails = answer

    def stop(self) -> None:
        self.credentials = {**self.credentials, "api_url": closed_url()}
