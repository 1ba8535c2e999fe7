"""JSON-RPC of a bitcoind. The credentials stay out of URLs, logs and errors."""

import asyncio
import json
import re
import stat
from base64 import b64encode
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from proof.timestamps.anchors.chain import ChainError, NodeDownError, NodeSyncingError, WalletError
from proof.timestamps.anchors.node_client import TIMEOUT_S, NodeClient

# A block of the largest kind names some 16,000 transactions, 67 bytes each.
_MAX_ANSWER_BYTES: Final = 8 << 20
_MAX_NESTING: Final = 32
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_MAX_CREDENTIALS_BYTES: Final = 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_HERE: Final = "127.0.0.1"
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
        timeout_s: float = TIMEOUT_S,
        max_answer_bytes: int = _MAX_ANSWER_BYTES,
    ) -> None:
        self._url = url.rstrip("/")
        self._client = NodeClient("the bitcoin node", self._url, max_answer_bytes, timeout_s)
        self._wallet = wallet
        self._credentials_file = credentials_file
        self._authorization: str | None = None

    def __repr__(self) -> str:
        return "BitcoinRpc()"

    @property
    def wallet_name(self) -> str:
        """The wallet's name and a digest of its node's address, which may hold a key; the same however the
        address spells this machine."""
        parts = urlsplit(self._url)
        host = _HERE if parts.hostname in {"localhost", "::1"} else parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        node = sha256(f"{host}:{port}{parts.path}".encode()).hexdigest()
        return f"{node[:16]} {self._wallet}"

    async def close(self) -> None:
        await self._client.close()

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
        asked = {"jsonrpc": "1.0", "id": 0, "method": method, "params": params}
        body = json.dumps(asked).encode()
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

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self._authorization is None:
            self._authorization = await asyncio.to_thread(_authorization, self._credentials_file)
        headers = {"authorization": self._authorization, "content-type": "application/json"}
        return await self._client.post(body, headers, path)


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
