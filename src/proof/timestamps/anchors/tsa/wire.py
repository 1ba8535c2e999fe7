"""What is asked of an authority and what it answers (RFC 3161, 2.4)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from proof.timestamps.anchors.chain import ChainError, NodeDownError
from proof.timestamps.anchors.node_client import TIMEOUT_S, NodeClient
from proof.timestamps.tsa import der as writing
from proof.verify.errors import RefusedError, quoted
from proof.verify.evidence.rfc3161 import der
from proof.verify.evidence.rfc3161.der import Reader

_SHA256: Final = writing.sequence(
    writing.object_identifier("2.16.840.1.101.3.4.2.1"), writing.tlv(writing.NULL)
)
_TRUE: Final = writing.tlv(der.BOOLEAN, b"\xff")
_GRANTED: Final = (0, 1)  # as asked, or with modifications, which the token's own fields show
_UTF8_STRING: Final = 0x0C
_NAME: Final = "the authority's answer"

# PKIFailureInfo, by the number of its bit (RFC 3161, 2.4.2).
_FAILURES: Final = {
    0: "badAlg",
    2: "badRequest",
    5: "badDataFormat",
    14: "timeNotAvailable",
    15: "unacceptedPolicy",
    16: "unacceptedExtension",
    17: "addInfoNotAvailable",
    25: "systemFailure",
}
MAX_ANSWER_BYTES = 64 * 1024
_HEADERS = {
    "content-type": "application/timestamp-query",
    "accept": "application/timestamp-reply",
}


class AnswerError(ChainError):
    """The answer is no TimeStampResp, or says that there is no token."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question for a token over a root. `policy` is dotted; None leaves it to the authority."""

    root: bytes
    nonce: int
    policy: str | None

    def encode(self) -> bytes:
        """A DER-encoded TimeStampReq, which asks for the certificate too."""
        return writing.sequence(
            writing.integer(1),
            writing.sequence(_SHA256, writing.tlv(writing.OCTET_STRING, self.root)),
            b"" if self.policy is None else writing.object_identifier(self.policy),
            writing.integer(self.nonce),
            _TRUE,
        )


def read_answer(raw: bytes) -> bytes:
    """The token in a DER-encoded TimeStampResp, as it stands. Raises AnswerError."""
    try:
        answer = der.only(raw, der.SEQUENCE, _NAME)
        status = answer.inside(der.SEQUENCE)
        number = status.integer()
        if number not in _GRANTED:
            raise AnswerError(
                f"the time-stamping authority refuses with status {number}: {_reason(status)}"
            )
        token = answer.of(der.SEQUENCE).raw
        answer.end()
    except RefusedError as error:
        raise AnswerError(
            f"the time-stamping authority does not answer with a token: {error}"
        ) from None
    return token


def _reason(status: Reader) -> str:
    """The failure and the texts of a PKIStatusInfo, made safe to show."""
    told = []
    texts = status.maybe(der.SEQUENCE)
    failure = status.maybe(der.BIT_STRING)
    if failure is not None:
        told += [
            _FAILURES.get(bit, f"failure {bit}")
            for bit in range(8 * (len(failure.content) - 1))
            if failure.content[1 + bit // 8] << bit % 8 & 0x80
        ]
    if texts is not None:
        told += [
            quoted(each.content.decode(errors="replace"))
            for each in Reader(texts.content, _NAME).all()
            if each.tag == _UTF8_STRING
        ]
    return ", ".join(told[:4]) or "it does not say why"


class Exchange:
    """The way to one authority."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._client = NodeClient("the time-stamping authority", url, MAX_ANSWER_BYTES, timeout_s)

    async def ask(self, query: bytes) -> bytes:
        """The answer's body, at most MAX_ANSWER_BYTES. Raises NodeDownError."""
        status, raw = await self._client.post(query, _HEADERS)
        if status != HTTPStatus.OK:
            raise NodeDownError(
                f"the time-stamping authority answers with HTTP status {status};"
                " see whether its URL is right"
            )
        return raw

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()
