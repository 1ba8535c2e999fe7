"""One question and one answer over HTTP (RFC 3161, 3.4)."""

from http import HTTPStatus

from proof.timestamps.anchors.chain import NodeDownError
from proof.timestamps.anchors.node_client import TIMEOUT_S, NodeClient

MAX_ANSWER_BYTES = 64 * 1024
_HEADERS = {
    "content-type": "application/timestamp-query",
    "accept": "application/timestamp-reply",
}


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
