"""/r/api: what the page of a receipt asks for its user. The token of the link is the only credential."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from proof.api.forms import RAMP
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily
from proof.api.services import Services
from proof.partners.types import Environment
from proof.ramp.sessions.receipt_links import follow_link
from proof.receipts.summary import ReceiptSummary, summarise

_encode = msgspec.json.Encoder().encode
_GUIDE = "/docs/proofs-and-verifying#a-receipt"
_NO_STORE = ((b"cache-control", b"no-store"),)

# Of our own page, which may change with it, so no document lists it. A guess counts as a stranger's call.
_PAGE = OperationFamily("ramp", Anybody(), RAMP, listed=False, body_limit=1024)


class ReceiptRequest(Struct, forbid_unknown_fields=True):
    """The two parts of a link."""

    merchant_transaction_id: Annotated[str, Meta(max_length=64)]
    token: Annotated[str, Meta(max_length=64)]


class ReceiptPage(Struct, frozen=True):
    """What the page shows, and the file it gives. `lang` is the session's, empty for none; `address` shows
    the ends of the wallet that coins were bought to, and is empty once the user was erased. `guide` is a
    page on how a receipt is checked."""

    partner_name: str
    lang: str
    address: str
    guide: str
    summary: ReceiptSummary
    receipt: msgspec.Raw


class ReceiptPageHandlers:
    """The handler of the page of a receipt."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, call: Call) -> Reply:
        """POST /r/api/receipt."""
        at, body = self._services, call.body
        async with at.database.connection() as connection:
            found = await follow_link(
                connection,
                at.vault,
                call.edge.environment,
                body.merchant_transaction_id,
                body.token,
            )
        receipt = await at.receipts.receipt(found.partner_environment_id, found.transaction_id)
        page = ReceiptPage(
            partner_name=found.partner_name,
            lang=found.lang,
            address=found.address,
            guide=at.base_urls[Environment.PRODUCTION] + _GUIDE,
            summary=summarise(receipt),
            receipt=msgspec.Raw(receipt),
        )
        return Reply(200, _encode(page), headers=_NO_STORE)


def receipt_page_routes(services: Services) -> list[Operation]:
    """The page's only call."""
    handlers = ReceiptPageHandlers(services)
    return [
        Operation(
            _PAGE, "POST", "/r/api/receipt", handlers.read, "Read a receipt",
            {200: Answer("what it says, and the file", ReceiptPage)}, body=ReceiptRequest,
        ),
    ]  # fmt: skip
