"""A partner account at another Proof. The api_key stays out of URLs, logs and errors."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from proof.core.clock import Clock
from proof.core.errors import ProofError
from proof.timestamps.anchors.chain import ChainError, NodeDownError
from proof.timestamps.anchors.node_client import HttpAnswer, NodeClient
from proof.timestamps.types import Currency
from proof.verify import Policy, PolicyError, RefusedError, parse_policy
from proof.verify.errors import quoted
from proof.verify.strict_json import MAX_BYTES, members, parse_json

# Our own proof, which holds the upstream's, keeps within what a verifier reads.
MAX_ANSWER_BYTES: Final = MAX_BYTES // 2

# Whatever an upstream says, it is asked again within the hour.
_MAX_PAUSE: Final = timedelta(hours=1)

_SOON_S: Final = 1.0
_MAX_MESSAGE_CHARS: Final = 300
_LATER: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

T = TypeVar("T")


class AccountError(ChainError):
    """The upstream does not serve this account: its key is refused, or it denies the call."""


class LaterError(ChainError):
    """The account's rate or quota is used up, or the upstream cannot serve anybody now."""

    def __init__(self, message: str, pause: timedelta) -> None:
        super().__init__(message)
        self.pause = pause


class AnswerError(ChainError):
    """The answer is none that the timestamp API gives."""


class Identity(msgspec.Struct, frozen=True):
    """Who we are to the upstream, as `GET /whoami` says."""

    environment: str
    kind: str
    address: str
    allowed: bool
    suspended: bool
    allowlist_mode: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the upstream has of a hash in one of its chains. `known`: False when it has nothing at all.
    `proof`: the parsed payload once there is one; else it may be asked again after `retry_after`."""

    known: bool
    proof: dict[str, object] | None = None
    retry_after: timedelta = timedelta()


class _Submitted(msgspec.Struct):
    sha256: list[str]
    existing: list[str] = []


class _Message(msgspec.Struct):
    message: str


class Account:
    """One account. `read_key` gives its api_key, and raises ProofError, OSError or ValueError; it is asked
    again when the upstream no longer accepts what it gave. An upstream that serves us nothing is left alone
    for `pause`, or for as long as it says."""

    def __init__(
        self, client: NodeClient, read_key: Callable[[], str], clock: Clock, pause: timedelta
    ) -> None:
        self._client = client
        self._read_key = read_key
        self._key = read_key()
        self._clock = clock
        self._pause = pause
        self._failed: tuple[datetime, ChainError] | None = None

    def __repr__(self) -> str:
        return "Account()"

    async def identity(self) -> Identity:
        """Who we are there. Raises AccountError and what every call raises: NodeDownError, LaterError,
        AnswerError."""
        return _decoded(await self._call("GET", "/whoami"), Identity)

    async def log_policy(self) -> Policy:
        """What the upstream says its logs are verified by."""
        answer = await self._call("GET", "/log/policy")
        try:
            return parse_policy(answer.body)
        except PolicyError:
            raise _no_proof(answer) from None

    async def submit(self, digest: bytes) -> None:
        """Have a hash proved; once it is known there, again changes nothing."""
        body = json.dumps({"sha256": [digest.hex()]}).encode()
        answer = _decoded(await self._call("POST", "/v1/timestamp", body), _Submitted)
        if digest.hex() not in {*answer.sha256, *answer.existing}:
            raise AnswerError("the upstream does not say that it took the root; see its version")

    async def lookup(self, digest: bytes, currency: Currency) -> Lookup:
        """What there is of a hash in one chain. Until there is a proof, asking costs none of the quota."""
        path = f"/v1/proof/{digest.hex()}?currencyId={int(currency)}"
        answer = await self._call("GET", path, others={HTTPStatus.NOT_FOUND, HTTPStatus.TOO_EARLY})
        if answer.status == HTTPStatus.NOT_FOUND:
            return Lookup(known=False)
        if answer.status == HTTPStatus.TOO_EARLY:
            return Lookup(known=True, retry_after=_retry_after(answer, _SOON_S))
        try:
            return Lookup(known=True, proof=members(parse_json(answer.body), "the proof"))
        except RefusedError as error:
            raise AnswerError(f"the upstream does not answer with a proof: {error}") from None

    def leave_alone(self, reason: ChainError) -> None:
        """Let every call fail so for a while, without asking."""
        pause = max(self._pause, reason.pause) if isinstance(reason, LaterError) else self._pause
        self._failed = self._clock.now() + pause, reason

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        others: frozenset[HTTPStatus] | set[HTTPStatus] = frozenset(),
    ) -> HttpAnswer:
        """An answer of success, or of a status among `others`."""
        if self._failed is not None and self._clock.now() < self._failed[0]:
            raise self._failed[1].with_traceback(None)
        try:
            answer = await self._authorized(method, path, body)
            if answer.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED, *others}:
                raise self._refusal(answer)
        except AnswerError:
            raise  # that call alone is refused
        except ChainError as error:
            self.leave_alone(error)
            raise
        self._failed = None
        return answer

    async def _authorized(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        answer = await self._send(method, path, body)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._replaced_key():
            return await self._send(method, path, body)
        return answer

    async def _send(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        headers = {"x-api-key": self._key, "content-type": "application/json"}
        return await self._client.request(method, path, headers, body)

    def _replaced_key(self) -> bool:
        """Whether the file has another key by now, which is then ours."""
        before = self._key
        try:
            self._key = self._read_key()
        except (ProofError, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise AccountError(
                f"the upstream no longer accepts the api_key, and credentials_file gives none: {reason}"
            ) from None
        return self._key != before

    def _refusal(self, answer: HttpAnswer) -> ChainError:
        said = f"HTTP status {answer.status}{self._message(answer)}"
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return AccountError(
                "the upstream does not accept the api_key in credentials_file: it was revoked or has"
                " ended, or is not of the installation at url; put a new one there"
            )
        if answer.status == HTTPStatus.FORBIDDEN:
            return AccountError(f"the upstream denies us the call: {said}")
        if answer.status in _LATER:
            return LaterError(
                f"the upstream serves us no more for now: {said}", _retry_after(answer, 0)
            )
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return NodeDownError(f"the upstream fails: {said}")
        return AnswerError(
            f"the upstream refuses: {said}; see that url is the base URL of a Proof's environment,"
            " without anything behind it"
        )

    def _message(self, answer: HttpAnswer) -> str:
        """Its own words, made safe to show: whoever answers may send our key back."""
        try:
            text = msgspec.json.decode(answer.body, type=_Message).message
        except msgspec.DecodeError:
            return ""
        return f", {quoted(text.replace(self._key, '...')[:_MAX_MESSAGE_CHARS])}"


def _retry_after(answer: HttpAnswer, default_s: float) -> timedelta:
    text = answer.retry_after or ""
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), _MAX_PAUSE)
    return timedelta(seconds=default_s)


def _decoded(answer: HttpAnswer, form: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=form)
    except (msgspec.DecodeError, RecursionError):
        raise _no_proof(answer) from None


def _no_proof(answer: HttpAnswer) -> AnswerError:
    return AnswerError(
        f"what answers with status {answer.status} is no Proof; see that url is the base URL of one"
    )
