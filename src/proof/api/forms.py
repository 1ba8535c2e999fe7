"""The forms that an error's body has; each family of operations has one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from proof.api.errors import error_reply
from proof.api.http import Reply
from proof.api.operator.wire import CodedMessage
from proof.api.ramp.errors import RampError, ramp_error_reply
from proof.api.wire import Message
from proof.core.errors import ProofError

TEXT = b"text/plain; charset=us-ascii"


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """`reply` makes the answer from what went wrong and the request's id; `body` is the type of its JSON,
    None for plain text."""

    reply: Callable[[Exception, str], Reply]
    body: type[msgspec.Struct] | None


def _coded(error: Exception, request_id: str) -> Reply:
    reply = error_reply(error, request_id)
    code = error.code if isinstance(error, ProofError) else ProofError.code
    return replace(reply, body=msgspec.json.encode(CodedMessage(_message(reply), code)))


def _text(error: Exception, request_id: str) -> Reply:
    reply = error_reply(error, request_id)
    return replace(reply, body=_message(reply).encode("ascii", "replace"), content_type=TEXT)


def _message(reply: Reply) -> str:
    message: str = msgspec.json.decode(reply.body)["message"]
    return message


# The timestamp API's: a message.
MESSAGE = ErrorForm(error_reply, Message)
# The operator API's: the message and the stable code of what went wrong.
CODED = ErrorForm(_coded, CodedMessage)
# The ramp's: a slug, a code and a message.
RAMP = ErrorForm(ramp_error_reply, RampError)
# The calendar's: its clients show the text as it stands.
PLAIN_TEXT = ErrorForm(_text, None)
