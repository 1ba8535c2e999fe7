"""The timestamp API as its callers see it, and what each refusal means for them.

Nothing a server answers is trusted: bodies are bounded, typed, and made safe for a terminal. Redirects
are not followed, so the key goes to the named server alone.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import typer

from proof.cli.output import FAILED, OPEN, UNREACHABLE, USAGE, fail, printable
from proof.core.errors import ProofError
from proof.verify import VerifierKeyError, parse_verifier_key
from proof.verify.strict_json import MAX_BYTES as MAX_PROOF_BYTES

MAX_HASHES: Final = 10_000
"""Entries of one POST /v1/timestamp; each takes 67 bytes, so the body keeps within its 1 MiB."""


_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


_MAX_KEYS_BYTES: Final = 64 * 1024


_MAX_MESSAGE_CHARS: Final = 500


_MAX_CONNECTIONS: Final = 16


_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=10)


_RETRY_DEFAULT_S: Final = 1.0


_LATER = {425: OPEN, 429: FAILED, 503: UNREACHABLE}


T = TypeVar("T")


Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="PROOF_URL",
        show_default=False,
        help="Base URL as given at onboarding; the sandbox has its own.",
    ),
]


ApiKey = Annotated[
    str,
    typer.Option(
        "--api-key",
        envvar="PROOF_API_KEY",
        show_default=False,
        help="The api_key given at onboarding. Prefer the variable: others may see arguments.",
    ),
]


class ApiError(ProofError):
    """A call that did not bring what was asked for; the message says what to do next."""

    exit_code = FAILED


class UnreachableError(ApiError):
    """Nothing answers, or not the server."""

    exit_code = UNREACHABLE


class DeniedError(ApiError):
    """401 or 403."""

    exit_code = UNREACHABLE


class UnknownError(ApiError):
    """404."""


class AnswerError(ApiError):
    """An answer that the contract does not allow."""


class LaterError(ApiError):
    """425, 429 or 503: the same call may succeed `retry_after_s` seconds from now."""

    def __init__(self, message: str, exit_code: int, retry_after_s: float) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.retry_after_s = retry_after_s


class Tree(msgspec.Struct, rename="camel", omit_defaults=True):
    """A tree as named when submitting, or TimestampData."""

    tree_id: str
    currency_id: int
    currency: str
    submit_status: int | None = None
    timestamp: int | None = None
    root_sha256: str | None = None
    transaction: str | None = None


class SubmitAnswer(msgspec.Struct, rename="camel"):
    """The answer to POST /v1/timestamp; hashes in lower-case hex, time in ms since 1970 UTC."""

    sha256: list[str]
    date_created: int
    trees: list[Tree]
    existing: list[str] = []


class HashStatus(msgspec.Struct, rename="camel"):
    """The answer to GET /v1/timestamp/{sha256}."""

    date_created: int
    trees: list[Tree]


class _Message(msgspec.Struct):
    message: str


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and the key to it; without one only the public parts answer."""

    url: str
    api_key: str = field(default="", repr=False)

    @classmethod
    def checked(cls, url: str, api_key: str = "") -> "Target":
        """Raises typer.Exit with the usage code when either cannot be used."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.username is not None or parts.query or parts.fragment:
            raise fail(
                f"{printable(url)!r} is not an http(s) URL of host and path; give the one of onboarding",
                USAGE,
            )
        key = api_key.strip()
        if not key.isascii() or not key.isprintable() or " " in key:
            raise fail("the API key holds characters that no key has; check PROOF_API_KEY", USAGE)
        return cls(url.rstrip("/"), key)


class TimestampApi:
    """Calls to one server, at most 16 at a time. Every method raises ApiError."""

    def __init__(self, session: aiohttp.ClientSession, target: Target) -> None:
        self._session = session
        self._target = target

    async def submit(self, digests: Sequence[str]) -> SubmitAnswer:
        """Submit 1 to 10,000 distinct hashes (lower-case hex) in one request.

        Returning means that the server acknowledged each of them, as new or as known.
        """
        body = msgspec.json.encode({"sha256": digests})
        raw = await self._request("POST", "/v1/timestamp", _MAX_ANSWER_BYTES, body)
        answer = self._decode(raw, SubmitAnswer)
        if {*answer.sha256, *answer.existing} != set(digests):
            raise AnswerError(
                f"{self._target.url} did not acknowledge exactly what was submitted;"
                " tell its operator"
            )
        return answer

    async def hash_status(self, sha256: str) -> HashStatus:
        """When a hash came, and how far its trees are."""
        with self._known(sha256):
            raw = await self._request("GET", f"/v1/timestamp/{sha256}", _MAX_ANSWER_BYTES)
        return self._decode(raw, HashStatus)

    async def proof(
        self, sha256: str, currency_id: int | None = None, form: str | None = None
    ) -> bytes:
        """The proof as sent, at most 1 MiB, not verified; of the log without a currencyId, and the payload
        without a form."""
        given = {"currencyId": currency_id, "format": form}
        asked = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        query = f"?{asked}" if asked else ""
        with self._known(sha256):
            return await self._request("GET", f"/v1/proof/{sha256}{query}", MAX_PROOF_BYTES)

    async def log_keys(self) -> list[str]:
        """The verifier keys of the log in their text form, as this server tells them."""
        raw = await self._request("GET", "/log/key", _MAX_KEYS_BYTES)
        try:
            lines = [line for line in raw.decode().split("\n") if line]
            for line in lines:
                parse_verifier_key(line)
        except (UnicodeDecodeError, VerifierKeyError):
            raise self._not_ours() from None
        if not lines or not all(map(str.isprintable, lines)):
            raise self._not_ours()
        return lines

    @contextmanager
    def _known(self, sha256: str) -> Iterator[None]:
        # The server names the call to make; whoever uses commands needs the command.
        try:
            yield
        except UnknownError:
            raise UnknownError(
                f"{sha256} was not submitted here ({self._target.url}); `proof stamp` it first"
            ) from None

    async def _request(
        self, method: str, path: str, limit: int, body: bytes | None = None
    ) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else None
        url = self._target.url + path
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                raw = await self._read(response, limit)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from None
        if response.status not in {200, 202}:
            raise self._refusal(response.status, response.headers, raw)
        return raw

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        raw = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            raw += chunk
            if len(raw) > limit:
                raise AnswerError(
                    f"{self._target.url} answered with more than {limit} bytes; check PROOF_URL"
                )
        return bytes(raw)

    def _decode(self, raw: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, RecursionError):
            raise self._not_ours() from None

    def _not_ours(self) -> AnswerError:
        return AnswerError(
            f"what answers at {self._target.url} is not Proof's API; check PROOF_URL"
        )

    def _unreachable(self, error: Exception) -> UnreachableError:
        reason = self._safe(str(error) or type(error).__name__)
        return UnreachableError(
            f"no answer from {self._target.url} ({reason}); is Proof running there? Check PROOF_URL"
        )

    def _refusal(self, status: int, headers: Mapping[str, str], raw: bytes) -> ApiError:
        message, url = self._message(raw), self._target.url
        reason = message or "no reason given"
        match status:
            case 401:
                return DeniedError(
                    f"{url} does not accept the API key ({reason}); check PROOF_API_KEY, and that"
                    " it belongs to this URL: production and sandbox have keys of their own"
                )
            case 403:
                return DeniedError(f"{url} does not let this call in ({reason}); ask its operator")
            case 404:
                return self._not_ours() if message is None else UnknownError(message)
            case 425 | 429 | 503:
                after_s = _retry_after_s(headers)
                when = f"; try again in {after_s:.0f} s"
                text = reason.removesuffix(when) + when
                return LaterError(text, _LATER[status], after_s)
            case 502 | 504:
                return UnreachableError(
                    f"a proxy answers at {url}, but not Proof ({status}); try again in a minute"
                )
            case _ if status >= 500:
                request_id = self._safe(headers.get("x-request-id", "unknown"))
                return ApiError(
                    f"the server failed ({status}, request id {request_id}): {reason};"
                    " tell its operator the request id"
                )
            case _ if 300 <= status < 400:
                location = self._safe(headers.get("location", "elsewhere"))
                return AnswerError(f"{url} redirects to {location}; give the final URL")
        return ApiError(
            f"the server refuses the request ({status}): {reason};"
            " see whether this program is as new as the server"
        )

    def _message(self, raw: bytes) -> str | None:
        try:
            return self._safe(msgspec.json.decode(raw, type=_Message).message)
        except (msgspec.DecodeError, RecursionError):
            return None

    def _safe(self, text: str) -> str:
        """Foreign text without our key and without what a terminal would obey."""
        if self._target.api_key:
            text = text.replace(self._target.api_key, "<API key>")
        return printable(text[:_MAX_MESSAGE_CHARS])


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[TimestampApi]:
    """Calls to `target` while the block lasts; nothing is sent before the first call."""
    # Compressed answers are not asked for: their size could not be bounded before unpacking.
    headers = {"accept-encoding": "identity"}
    if target.api_key:
        headers["x-api-key"] = target.api_key
    connector = aiohttp.TCPConnector(limit=_MAX_CONNECTIONS)
    async with aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=_TIMEOUT,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield TimestampApi(session, target)


@contextmanager
def stated_api_errors() -> Iterator[None]:
    """Turn a failed call into its message and its exit code."""
    try:
        yield
    except ApiError as error:
        raise fail(error.message, error.exit_code) from None


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds (RFC 9110, section 10.2.3); a date, which Proof never sends, is a second."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else _RETRY_DEFAULT_S
