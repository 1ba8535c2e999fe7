"""The second half of the demonstration: a purchase in the sandbox, seen in three ways."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any

from standardwebhooks import Webhook
from websockets.sync.client import connect

# It ends what hangs: a busy machine takes many times as long as an idle one.
PATIENCE_S = 180.0
_POLL_S = 0.1
_SESSION = {
    "partner_user_id": "user-1",
    "user_email": "ada@demo.example",
    "currency": "USDT",
    "network": "TRC20",
    "amount": "25.5",
}
# The simulator's provider takes its time, in the sandbox's own clock.
_PROVIDER_S = 60

Received = tuple[dict[str, str], bytes]
# Which of the three ways, and the status it told of; None when it tells of no more.
Seen = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A partner's sandbox: where it is, its secrets, and what comes in at its webhook."""

    base_url: str
    client_token: str
    webhook_secret: str
    received: "Queue[Received]"

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"authorization": f"Bearer {self.client_token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)


def purchase(sandbox: Sandbox) -> Iterator[str]:
    """Run it from the session to its end, a line for each step; SystemExit when the ways disagree."""
    name = sandbox.call("POST", "/widget/session", _SESSION)["merchant_transaction_id"]
    yield f"session opened: transaction {name}, {_SESSION['amount']} {_SESSION['currency']}"
    seen: Queue[Seen] = Queue()
    for watch in (_poll, _listen, _receive):
        threading.Thread(target=watch, args=(sandbox, name, seen), daemon=True).start()
    told: dict[str, list[str]] = {"polling": [], "WebSocket": [], "webhook": []}
    yield from _lines(seen, told, until_first=True)
    sandbox.call("POST", f"/simulate/{name}", {"outcome": "success"})
    yield "POST /simulate: the user is identified and pays, the bank agrees"
    sandbox.call("POST", "/clock/advance", {"seconds": _PROVIDER_S})
    yield f"POST /clock/advance: {_PROVIDER_S} s pass in this sandbox, the provider delivers"
    yield from _lines(seen, told)
    if any(statuses[-1:] != ["completed"] for statuses in told.values()):
        raise SystemExit(f"polling, WebSocket and webhook do not agree: {told}")
    yield "polling, WebSocket and webhook agree: completed"


def _lines(
    seen: "Queue[Seen]", told: dict[str, list[str]], *, until_first: bool = False
) -> Iterator[str]:
    """What is seen, until each of the ways is at its end; or until the two that tell of the present state
    have told of it."""
    at_end = 0
    while at_end < len(told) and not (until_first and told["polling"] and told["WebSocket"]):
        try:
            way, status = seen.get(timeout=PATIENCE_S)
        except Empty:
            raise SystemExit(f"the purchase did not come to its end: {told}") from None
        if status is None:
            at_end += 1
        else:
            told[way].append(status)
            yield f"{way:<10}{status}"


def _poll(sandbox: Sandbox, name: str, seen: "Queue[Seen]") -> None:
    status, deadline = "", time.monotonic() + PATIENCE_S
    while status != "completed" and time.monotonic() < deadline:
        found = sandbox.call("GET", f"/widget/transactions/{name}")["status"]
        if found != status:
            seen.put(("polling", found))
        status = found
        time.sleep(_POLL_S)
    seen.put(("polling", None))


def _listen(sandbox: Sandbox, name: str, seen: "Queue[Seen]") -> None:
    url = sandbox.base_url.replace("http", "ws", 1) + f"/ws?tx_id={name}"
    headers = {"authorization": f"Bearer {sandbox.client_token}"}
    with connect(url, additional_headers=headers) as socket:
        # The server closes after a status that is final.
        for message in socket:
            seen.put(("WebSocket", json.loads(message)["status"]))
    seen.put(("WebSocket", None))


def _receive(sandbox: Sandbox, name: str, seen: "Queue[Seen]") -> None:
    status = ""
    while status != "completed":
        headers, body = sandbox.received.get()
        said = Webhook(sandbox.webhook_secret).verify(body, headers)
        if said["merchant_transaction_id"] == name and said["status"] != status:
            status = said["status"]
            seen.put(("webhook", status))
    seen.put(("webhook", None))
