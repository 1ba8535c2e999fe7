"""Which form an error's body has: its product's, which the path tells, or the credential where both of a
partner's may call."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from proof.api.errors import error_reply
from proof.api.http import Reply
from proof.api.operations import Operation
from proof.api.ramp.errors import ramp_error_reply
from proof.core.errors import ProofError

# From what went wrong and the request's id to the answer.
Form = Callable[[Exception, str], Reply]

TEXT = b"text/plain; charset=us-ascii"
ANY_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"accept, content-type, user-agent"),
)


def coded_error_reply(error: Exception, request_id: str) -> Reply:
    """The operator API's: the message and the stable code of what went wrong."""
    reply = error_reply(error, request_id)
    code = error.code if isinstance(error, ProofError) else ProofError.code
    return replace(reply, body=msgspec.json.encode({"message": _message(reply), "code": code}))


def text_error_reply(error: Exception, request_id: str) -> Reply:
    """A calendar's: its clients show the text as it stands, those in browsers too."""
    reply = error_reply(error, request_id)
    headers = (*reply.headers, (b"cache-control", b"no-store"), *ANY_ORIGIN)
    text = _message(reply).encode("ascii", "replace")
    return Reply(reply.status, text, TEXT, headers)


# By the first part of a path below the base URL; what is not here has the timestamp API's form.
_BY_PATH: dict[str, Form] = {
    **dict.fromkeys(("widget", "ws", "providers", "simulate", "clock"), ramp_error_reply),
    **dict.fromkeys(("events", "whoami"), ramp_error_reply),
    **dict.fromkeys(("operator", "metrics", "statusz"), coded_error_reply),
    **dict.fromkeys(("digest", "timestamp"), text_error_reply),
}


def form_at(path: str) -> Form:
    """The form of errors at a path, whether or not anything is there."""
    if path.startswith("/w/api/"):
        return ramp_error_reply
    return _BY_PATH.get(path.lstrip("/").partition("/")[0], error_reply)


def form_of(operation: Operation) -> Form:
    """The form of an operation's errors. Where both kinds of credentials may call it is the ramp's until
    the credential is known: it has all that the timestamp API's has, so either client can read it."""
    if operation.ramp or operation.shared:
        return ramp_error_reply
    if operation.operator_scope is not None:
        return coded_error_reply
    return text_error_reply if operation.plain_refusals else error_reply


def _message(reply: Reply) -> str:
    message: str = msgspec.json.decode(reply.body)["message"]
    return message
