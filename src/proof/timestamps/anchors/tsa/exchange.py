"""One question and one answer over HTTP (RFC 3161, 3.4).

The authority is the operator's choice and named in the settings, so its address is not held against the
rules for partners' addresses; it is still not believed more than it must be: no redirects, bounded time
and size. Its URL never appears in an error.
"""

import aiohttp

from proof.timestamps.anchors.chain import NodeDownError

MAX_ANSWER_BYTES = 64 * 1024
_TIMEOUT_S = 20.0
_HEADERS = {
    "content-type": "application/timestamp-query",
    "accept": "application/timestamp-reply",
    "accept-encoding": "identity",
}


class Exchange:
    """The way to one authority."""

    def __init__(self, url: str, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, query: bytes) -> bytes:
        """The answer's body, at most MAX_ANSWER_BYTES. Raises NodeDownError."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._timeout_s)
            # Without cookies and proxies of the environment: each question is like the first. What comes
            # compressed stays so, because little may become much.
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        try:
            async with self._session.post(
                self._url, data=query, headers=_HEADERS, allow_redirects=False
            ) as answer:
                raw = await _bounded(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NodeDownError(
                f"the time-stamping authority does not answer ({type(error).__name__});"
                " see whether it is reachable from here"
            ) from None
        if answer.status != 200:
            raise NodeDownError(
                f"the time-stamping authority answers with HTTP status {answer.status};"
                " see whether its URL is right"
            )
        return raw

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    raw = b""
    while chunk := await answer.content.read(MAX_ANSWER_BYTES + 1 - len(raw)):
        raw += chunk
        if len(raw) > MAX_ANSWER_BYTES:
            raise NodeDownError(
                f"the time-stamping authority answers with over {MAX_ANSWER_BYTES} bytes,"
                " more than any token has"
            )
    return raw
