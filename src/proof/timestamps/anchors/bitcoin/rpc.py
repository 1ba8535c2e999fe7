"""JSON-RPC of a bitcoind.

The node is the operator's own and its address a setting, so the policy for partners' targets does not
apply; all the same nothing is followed, and every answer is bounded in time and size. The credentials
stay out of URLs, logs and errors: an error of ours never quotes the library's.
"""

import asyncio
import json
import re
import stat
from base64 import b64encode
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from proof.timestamps.anchors.chain import ChainError, NodeDownError, NodeSyncingError, WalletError

_TIMEOUT_S: Final = 30.0
# A block of the largest kind names some 16,000 transactions, 67 bytes each.
_MAX_ANSWER_BYTES: Final = 8 << 20
_MAX_NESTING: Final = 32
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_MAX_CREDENTIALS_BYTES: Final = 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_UNAUTHORIZED: Final = 401
_WARMING_UP: Final = -28
_WALLET_NOT_LOADED: Final = -18
_WALLET_LOCKED: Final = -13


class RpcError(ChainError):
    """The node answered with an error; `rpc_code` is Bitcoin Core's, `reason` its own words."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        super().__init__(f"the bitcoin node refuses {method}: {reason} ({code})")
        self.rpc_code = code
        self.reason = reason


class BitcoinRpc:
    """Calls one node, as one wallet. Made and closed on one running event loop.

    `credentials_file` holds `user:password`, as the cookie that bitcoind writes does; it is read again
    when the node no longer accepts what it said, because a restart writes a new cookie.
    """

    def __init__(
        self,
        url: str,
        wallet: str,
        credentials_file: Path,
        *,
        timeout_s: float = _TIMEOUT_S,
        max_answer_bytes: int = _MAX_ANSWER_BYTES,
    ) -> None:
        self._url = url.rstrip("/")
        self._wallet = wallet
        self._credentials_file = credentials_file
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._authorization: str | None = None
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return "BitcoinRpc()"

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def node(self, method: str, *params: object) -> Any:
        """The result of a call that concerns no wallet. Numbers with a point come as Decimal.

        Raises NodeDownError, NodeSyncingError while the node starts, RpcError.
        """
        return await self._call("/", method, params)

    async def wallet(self, method: str, *params: object) -> Any:
        """The result of a call to the wallet, which is loaded first if the node has it but does not.

        Raises as `node` does, and WalletError.
        """
        path = f"/wallet/{quote(self._wallet, safe='')}"
        try:
            return await self._call(path, method, params)
        except RpcError as error:
            if error.rpc_code == _WALLET_LOCKED:
                raise WalletError(
                    "the bitcoin wallet is locked: unlock it with walletpassphrase, or use one for"
                    " anchors alone without a passphrase"
                ) from None
            if error.rpc_code != _WALLET_NOT_LOADED:
                raise
        await self._load()
        return await self._call(path, method, params)

    async def _load(self) -> None:
        try:
            await self.node("loadwallet", self._wallet)
        except RpcError as error:
            raise WalletError(
                f"the bitcoin node has no wallet {self._wallet!r} ({error.reason}); create it there"
                " or name another in the chains file"
            ) from None

    async def _call(self, path: str, method: str, params: tuple[object, ...]) -> Any:
        body = json.dumps({"jsonrpc": "1.0", "id": 0, "method": method, "params": params})
        fresh = self._authorization is None
        status, text = await self._post(path, body)
        if status == _UNAUTHORIZED and not fresh:
            self._authorization = None
            status, text = await self._post(path, body)
        if status == _UNAUTHORIZED:
            self._authorization = None
            raise NodeDownError(
                "the bitcoin node does not accept the credentials in credentials_file"
            )
        return _result(method, status, text)

    async def _post(self, path: str, body: str) -> tuple[int, bytes]:
        if self._authorization is None:
            self._authorization = await asyncio.to_thread(_authorization, self._credentials_file)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Calls are rare, and the first one on a connection kept from before a restart is lost.
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        headers = {"authorization": self._authorization, "content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.post(
                    self._url + path, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return response.status, await self._read(response)
        except TimeoutError:
            raise NodeDownError(
                f"the bitcoin node did not answer within {self._timeout_s:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            # Not chained and not quoted: aiohttp's errors hold the request's headers and URL.
            raise NodeDownError(
                f"the bitcoin node cannot be reached ({type(error).__name__}); is it running, and is"
                " its url right in the chains file?"
            ) from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        text = bytearray()
        async for chunk in response.content.iter_any():
            text += chunk
            if len(text) > self._max_answer_bytes:
                response.close()
                raise NodeDownError(
                    f"the bitcoin node's answer is over {self._max_answer_bytes} bytes"
                )
        return bytes(text)


def _result(method: str, status: int, text: bytes) -> Any:
    try:
        _require_shallow(text)
        answer = json.loads(text, parse_float=Decimal)
        error = answer["error"]
        if error is None:
            return answer["result"]
        code, reason = int(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NodeDownError(
            f"what answers {method} with status {status} is no bitcoin node; check the url"
        ) from None
    if code == _WARMING_UP:
        raise NodeSyncingError(f"the bitcoin node is starting: {reason}")
    raise RpcError(method, code, reason)


def _require_shallow(text: bytes) -> None:
    # The parser recurses in C: where the limit of recursion was raised, deep nesting ends the process.
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        mark = text[token.start()]
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > _MAX_NESTING:
            raise ValueError("the answer nests too deep")


def _authorization(path: Path) -> str:
    try:
        if path.stat().st_mode & _OTHERS:
            raise NodeDownError(f"{path} can be read by others; run: chmod 600 {path}")
        with path.open() as file:
            text = file.read(_MAX_CREDENTIALS_BYTES).strip()
    except OSError as error:
        raise NodeDownError(
            f"the bitcoin credentials {path} cannot be read: {error.strerror}; if it is bitcoind's"
            " cookie, bitcoind is not running"
        ) from None
    except ValueError:
        text = ""
    if ":" not in text or not text.isprintable():
        raise NodeDownError(f"the bitcoin credentials {path} are not of the form user:password")
    return f"Basic {b64encode(text.encode()).decode()}"
