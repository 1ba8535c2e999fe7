"""A node's JSON-RPC (ethereum/execution-apis), over HTTP.

The node is the operator's and named in the settings, so its address is not held against the rules for
partners' addresses; it is still not believed more than it must be: no redirects, bounded time and size.
Its URL may hold a key of a hosting service and never appears in an error.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import aiohttp
import msgspec

from proof.timestamps.anchors.chain import ChainError, NodeDownError

_TIMEOUT_S = 20.0
# A block with all its transactions has some megabytes at most.
_MAX_ANSWER_BYTES = 64 * 1024 * 1024

Call = tuple[str, list[Any]]


class RpcError(ChainError):
    """The node answered with an error; `code` and the message are its own."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"the Ethereum node refuses {method}: {message} ({code})")
        self.rpc_code = code
        self.rpc_message = message


class Rpc:
    """One node."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._numbers = count(1)

    async def call(self, method: str, *parameters: Any) -> Any:
        """One result. Raises RpcError or NodeDownError."""
        (result,) = await self.batch([(method, list(parameters))])
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results in the order of the calls, from one request. Raises RpcError for the first that failed,
        or NodeDownError."""
        asked = {next(self._numbers): call for call in calls}
        request = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
            for number, (method, parameters) in asked.items()
        ]
        answers = _by_number(await self._post(msgspec.json.encode(request)))
        return [_result(method, answers.get(number)) for number, (method, _) in asked.items()]

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes) -> bytes:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                raw = await answer.content.read(_MAX_ANSWER_BYTES + 1)
                while not answer.content.at_eof() and len(raw) <= _MAX_ANSWER_BYTES:
                    raw += await answer.content.read(_MAX_ANSWER_BYTES)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NodeDownError(
                f"the Ethereum node does not answer ({type(error).__name__}); is it running?"
            ) from None
        if answer.status != 200 or len(raw) > _MAX_ANSWER_BYTES:
            raise NodeDownError(
                f"the Ethereum node answers with HTTP status {answer.status} and {len(raw)} bytes"
            )
        return raw


def _by_number(raw: bytes) -> dict[int, dict[str, Any]]:
    try:
        answers = msgspec.json.decode(raw, type=list[dict[str, Any]])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise NodeDownError("the Ethereum node does not answer in JSON-RPC") from None
    return {answer["id"]: answer for answer in answers if isinstance(answer.get("id"), int)}


def _result(method: str, answer: dict[str, Any] | None) -> Any:
    if answer is None:
        raise NodeDownError(f"the Ethereum node leaves {method} unanswered")
    error = answer.get("error")
    if error:
        raise RpcError(method, int(error.get("code", 0)), str(error.get("message", "")))
    return answer.get("result")
