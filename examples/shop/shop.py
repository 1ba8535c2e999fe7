"""A small shop that sells and buys coins through Proof: standard library only.

Its browser code never sees the client token: the backend opens sessions, asks how they stand and takes
webhooks; the page runs the widget and shows what the backend knows.

    PROOF_URL            base URL of the environment, e.g. https://proof.example/sandbox
    PROOF_CLIENT_TOKEN   the client token of that environment
    PROOF_WEBHOOK_SECRET its webhook secret (whsec_…); without it webhooks are refused
    SHOP_PORT            where to listen, 8431 if not set

Run it with `python3 examples/shop/shop.py`, and enter its address as a widget origin of the partner.
"""  # noqa: INP001 - a program of its own, not a package

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

FOLDER = Path(__file__).parent
PAGES = {
    "/": ("shop.html", "text/html; charset=utf-8"),
    "/shop.js": ("shop.js", "text/javascript; charset=utf-8"),
    "/shop.css": ("shop.css", "text/css; charset=utf-8"),
}
OFFERS: dict[str, dict[str, str]] = {
    "buy": {"type": "buy", "currency": "USDT", "network": "TRC20", "amount": "100"},
    "sell": {"type": "sell", "currency": "USDT", "network": "TRC20", "amount": "100"},
}
WEBHOOK_TOLERANCE_S = 300
BODY_MAX = 64 * 1024


class ProofError(Exception):
    """Proof refused a call, or could not be reached; the message is Proof's own."""


class Proof:
    """The two calls a shop needs."""

    def __init__(self, base_url: str, client_token: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = client_token

    def open_session(self, session: dict[str, str], idempotency_key: str) -> dict[str, Any]:
        """POST /widget/session. The key makes it safe to send the same order twice."""
        return self._call("POST", "/widget/session", session, {"Idempotency-Key": idempotency_key})

    def transaction(self, transaction_id: str) -> dict[str, Any]:
        """GET /widget/transactions/{id}: how it stands, from the only place that knows."""
        return self._call("GET", f"/widget/transactions/{transaction_id}")

    def _call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the operator's own PROOF_URL
            self.base_url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
                answer: dict[str, Any] = json.load(reply)
                return answer
        except urllib.error.HTTPError as error:
            raise ProofError(json.load(error)["message"]) from error
        except OSError as error:
            raise ProofError(f"Proof cannot be reached: {error}") from error


class Orders:
    """What the shop knows of each transaction: the webhook's last word. A real shop has a database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        self._taken: set[tuple[str, str]] = set()

    def opened(self, transaction_id: str) -> None:
        with self._lock:
            self._known.setdefault(transaction_id, {"status": "pending", "webhooks": []})

    def heard(self, event: dict[str, Any], sequence: int) -> None:
        """One webhook. It may come twice, and after a later one."""
        with self._lock:
            name = event["merchant_transaction_id"]
            order = self._known.setdefault(name, {"status": "pending", "webhooks": []})
            if (name, event["status"]) in self._taken:
                return
            self._taken.add((name, event["status"]))
            order["webhooks"].append(event["status"])
            if sequence > order.get("sequence", 0):
                order |= {"status": event["status"], "sequence": sequence}

    def known(self, transaction_id: str) -> dict[str, Any] | None:
        with self._lock:
            found = self._known.get(transaction_id)
            return None if found is None else dict(found)


def genuine(secret: str, headers: Any, body: bytes, now: float) -> bool:
    """Whether Proof sent this webhook (Standard Webhooks): one of the signatures fits, and it is recent."""
    name, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isdigit() or abs(now - int(sent_at)) > WEBHOOK_TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{name}.{sent_at}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(item.encode(), f"v1,{expected}".encode()) for item in given)


class Shop(ThreadingHTTPServer):
    """The shop's server."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], proof: Proof, webhook_secret: str) -> None:
        super().__init__(address, Handler)
        self.proof = proof
        self.webhook_secret = webhook_secret
        self.orders = Orders()


class Handler(BaseHTTPRequestHandler):
    """GET pages and orders; POST orders and webhooks."""

    server: Shop
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in PAGES:
            name, kind = PAGES[path]
            text = (FOLDER / name).read_text().replace("{{proof}}", self.server.proof.base_url)
            self._answer(200, text.encode(), kind)
        elif path.startswith("/orders/"):
            self._order(path.removeprefix("/orders/"))
        else:
            self._json(404, {"message": "there is no such page"})

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > BODY_MAX:
            self.close_connection = True
            self._json(413, {"message": "the body is too large"})
            return
        body = self.rfile.read(length)
        match urlsplit(self.path).path:
            case "/orders":
                self._open(body)
            case "/webhook":
                self._webhook(body)
            case _:
                self._json(404, {"message": "there is no such page"})

    def _open(self, body: bytes) -> None:
        """The browser says which offer and who; what it costs is the shop's to say."""
        asked = json.loads(body)
        session = {
            "partner_user_id": asked["user"],
            "user_email": asked["email"],
            **OFFERS[asked["offer"]],
            **({"amount": asked["amount"]} if asked.get("amount") else {}),
        }
        try:
            answer = self.server.proof.open_session(session, asked.get("key") or str(uuid4()))
        except ProofError as error:
            self._json(502, {"message": str(error)})
            return
        self.server.orders.opened(answer["merchant_transaction_id"])
        self._json(200, answer)

    def _order(self, transaction_id: str) -> None:
        order = self.server.orders.known(transaction_id)
        if order is None:
            self._json(404, {"message": "there is no such order"})
            return
        try:
            polled = self.server.proof.transaction(transaction_id)
        except ProofError as error:
            self._json(502, {"message": str(error)})
            return
        self._json(200, {**order, "polled": polled["status"]})

    def _webhook(self, body: bytes) -> None:
        if not genuine(self.server.webhook_secret, self.headers, body, time.time()):
            self._json(401, {"message": "the signature is not Proof's"})
            return
        event = json.loads(body)
        # An event of another type, as `proof webhook test` sends, is acknowledged and means nothing here.
        if "merchant_transaction_id" in event:
            self.server.orders.heard(event, int(self.headers["webhook-sequence"]))
        self._json(200, {})

    def _json(self, status: int, body: object) -> None:
        self._answer(status, json.dumps(body).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        proof = urlsplit(self.server.proof.base_url)
        origin = f"{proof.scheme}://{proof.netloc}"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        # All that the widget asks of a shop's own policy.
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'self'; img-src data:; script-src 'self' {origin}; frame-src {origin}",
        )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Webhooks and orders are on the page; nothing else needs saying."""


def main() -> int:
    """Serve until interrupted; the exit code."""
    if arguments := sys.argv[1:]:
        asked = arguments in (["-h"], ["--help"])
        (sys.stdout if asked else sys.stderr).write(__doc__ or "")
        return 0 if asked else 2
    missing = [name for name in ("PROOF_URL", "PROOF_CLIENT_TOKEN") if not os.environ.get(name)]
    if missing:
        sys.stderr.write(f"set {' and '.join(missing)}\n")
        return 2
    proof = Proof(os.environ["PROOF_URL"], os.environ["PROOF_CLIENT_TOKEN"])
    address = ("127.0.0.1", int(os.environ.get("SHOP_PORT", "8431")))
    try:
        shop = Shop(address, proof, os.environ.get("PROOF_WEBHOOK_SECRET", ""))
    except OSError as error:
        sys.stderr.write(f"port {address[1]}: {error.strerror}; set SHOP_PORT to another one\n")
        return 2
    with shop:
        sys.stdout.write(f"shop at http://127.0.0.1:{shop.server_port}/\n")
        sys.stdout.flush()
        try:
            shop.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
