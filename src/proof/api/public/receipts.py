"""/receipts: the keys that receipts and statements are signed with, for anybody."""

from dataclasses import replace
from functools import partial

from proof.api.forms import MESSAGE
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily
from proof.api.public.log import A_MINUTE, READ_BY_ANY_ORIGIN, TEXT, preflight
from proof.api.services import Services
from proof.core.coalescing import Coalesced
from proof.partners.types import Environment
from proof.receipts.keys import verifier_keys

_KEYS = OperationFamily("receipts", Anybody(), MESSAGE, headers=READ_BY_ANY_ORIGIN)

_PREFLIGHTS = replace(_KEYS, listed=False)


class ReceiptKeyHandlers:
    """The handlers of what a receipt is verified with. Anybody may ask: all who ask together cost one
    reading."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._keys = {
            environment: Coalesced(partial(self._read, environment)) for environment in Environment
        }

    async def key(self, call: Call) -> Reply:
        """GET /receipts/key: the one that signs first."""
        return Reply(200, await self._keys[call.edge.environment].get(), TEXT, A_MINUTE)

    async def _read(self, environment: Environment) -> bytes:
        async with self._database.connection() as connection:
            lines = await verifier_keys(connection, environment)
        return "".join(f"{line}\n" for line in lines).encode()


def receipt_key_routes(services: Services) -> list[Operation]:
    keys = ReceiptKeyHandlers(services)
    return [
        Operation(
            _KEYS, "GET", "/receipts/key", keys.key, "Verifier keys of receipts",
            {200: Answer("one key a line, the one that signs now first", content_type="text/plain")},
            identity="receipts_key",
        ),
        Operation(
            _PREFLIGHTS, "OPTIONS", "/receipts/key", preflight,
            "May a page of another site read it: it may", {204: Answer("CORS headers")},
        ),
    ]  # fmt: skip
