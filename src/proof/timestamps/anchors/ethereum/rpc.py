"""A node's JSON-RPC (ethereum/execution-apis), over HTTP."""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import count
from typing import Any

import msgspec

from proof.timestamps.anchors.chain import ChainError, NodeDownError
from proof.timestamps.anchors.node_client import NodeClient

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
        self._client = NodeClient("the Ethereum node", url, _MAX_ANSWER_BYTES)
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
        await self._client.close()

    async def _post(self, body: bytes) -> bytes:
        status, raw = await self._client.post(body, {"content-type": "application/json"})
        if status != HTTPStatus.OK:
            raise NodeDownError(
                f"the Ethereum node answers with HTTP status {status}; is its url right in the chains"
                " file?"
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
