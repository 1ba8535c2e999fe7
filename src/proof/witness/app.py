"""The witness over HTTP (c2sp.org/tlog-witness, "HTTP Interface"), as an ASGI application.

A caller is nobody in particular: what counts is the log's signature on a checkpoint. So every request
has the same bounds, and before that signature is checked it costs the reading of at most 10 KiB.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

import structlog

from proof.core.errors import ProofError
from proof.witness.errors import (
    ClockBehindError,
    InconsistentError,
    MalformedRequestError,
    OtherSizeError,
    RequestTooLargeError,
    StoreError,
    UnknownLogError,
    UnsignedCheckpointError,
)
from proof.witness.service import Witness
from proof.witness.wire import MAX_BODY_BYTES

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer: TypeAlias = tuple[int, bytes, list[tuple[bytes, bytes]]]

STATUSES: Final[dict[type[ProofError], int]] = {
    MalformedRequestError: 400,
    UnsignedCheckpointError: 403,
    UnknownLogError: 404,
    OtherSizeError: 409,
    RequestTooLargeError: 413,
    InconsistentError: 422,
    ClockBehindError: 503,
    StoreError: 503,
}

_log = structlog.get_logger()

_SIZE_TYPE = b"text/x.tlog.size"
_TEXT = b"text/plain; charset=utf-8"
_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_ADD, _MONITORED = "/add-checkpoint", "/checkpoint"


class WitnessApp:
    """Serves a witness at the root of its URL; a proxy in front may put it below any prefix."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path == _ADD:
            answer = await self._add(receive) if method == "POST" else _not_allowed(b"POST")
        elif (read := self._page(path)) is None:
            answer = _text(404, "there is nothing here; a witness has POST /add-checkpoint")
        elif method in {"GET", "HEAD"}:
            answer = read()
        else:
            answer = _not_allowed(b"GET, HEAD")
        status, body, headers = answer
        headers += [(b"content-length", b"%d" % len(body)), (b"x-content-type-options", b"nosniff")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    def _page(self, path: str) -> Callable[[], Answer] | None:
        match path:
            case "/healthz":
                return self._health
            case "/metrics":
                return self._metrics
        if path.endswith(_MONITORED):
            return lambda: self._newest(path[1:].removesuffix(_MONITORED))
        return None

    async def _add(self, receive: Receive) -> Answer:
        try:
            lines = await self._witness.add_checkpoint(await _body(receive))
        except ProofError as error:
            answer = _refusal(error)
        except Exception:  # noqa: BLE001 - a fault in one request ends none of the others; it is logged
            _log.exception("witness.request_failed")
            answer = _text(500, "the witness failed; nothing was signed")
        else:
            answer = 200, lines, [(b"content-type", _TEXT)]
        self._witness.answers[str(answer[0])] += 1
        return answer

    def _newest(self, origin_hash: str) -> Answer:
        note = self._witness.checkpoint(origin_hash)
        if note is None:
            return _text(404, "the witness has cosigned no checkpoint of a log of this name")
        return 200, note, [(b"content-type", _TEXT), (b"cache-control", b"no-store")]

    def _health(self) -> Answer:
        failing = self._witness.failing
        return _text(503, failing) if failing else _text(200, "ok")

    def _metrics(self) -> Answer:
        rows = [
            "# TYPE proof_witness_answers_total counter",
            *(
                f'proof_witness_answers_total{{status="{status}"}} {count}'
                for status, count in sorted(self._witness.answers.items())
            ),
            "# TYPE proof_witness_logs gauge",
            f"proof_witness_logs {self._witness.logs}",
            "# TYPE proof_witness_failing gauge",
            f"proof_witness_failing {int(bool(self._witness.failing))}",
        ]
        return 200, "\n".join([*rows, ""]).encode(), [(b"content-type", _METRICS_TYPE)]


async def _body(receive: Receive) -> bytes:
    """Raises RequestTooLargeError as soon as there is too much, MalformedRequestError when it ends
    early."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequestError("the request ended early")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise RequestTooLargeError(f"the request is longer than {MAX_BODY_BYTES} bytes")
        if not message.get("more_body"):
            return body


def _refusal(error: ProofError) -> Answer:
    status = STATUSES[type(error)]
    if isinstance(error, OtherSizeError):
        return status, b"%d\n" % error.size, [(b"content-type", _SIZE_TYPE)]
    answer = _text(status, error.message)
    if isinstance(error, ClockBehindError):
        answer[2].append((b"retry-after", b"%d" % error.retry_after_s))
    return answer


def _not_allowed(methods: bytes) -> Answer:
    status, body, headers = _text(405, f"only {methods.decode()}")
    return status, body, [*headers, (b"allow", methods)]


def _text(status: int, text: str) -> Answer:
    return status, f"{text}\n".encode(), [(b"content-type", _TEXT)]
