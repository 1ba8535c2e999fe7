"""/tsa: RFC 3161 over HTTP (RFC 3161, 3.4), for anybody."""

from proof.api.forms import MESSAGE
from proof.api.http import Call, Reply
from proof.api.operations import Answer, Anybody, Operation, OperationFamily
from proof.api.services import Services
from proof.core.errors import NotFoundError
from proof.partners.types import Environment
from proof.timestamps.tsa.request import MAX_REQUEST_BYTES
from proof.timestamps.tsa.service import TimeStampingAuthority

REQUEST_TYPE = "application/timestamp-query"

REPLY_TYPE = "application/timestamp-reply"

CHAIN_TYPE = "application/pem-certificate-chain"

_AUTHORITY = OperationFamily(
    "time-stamping authority",
    Anybody(),
    MESSAGE,
    environments=(Environment.PRODUCTION,),
    body_limit=MAX_REQUEST_BYTES,
)


class TsaHandlers:
    """The handlers of the time-stamping authority."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def stamp(self, call: Call) -> Reply:
        """POST /tsa. Refusals of the authority are answers with status 200, as RFC 3161 has them."""
        authority = self._enabled()
        return Reply(200, authority.answer(call.body), REPLY_TYPE.encode())

    async def chain(self, _call: Call) -> Reply:
        """GET /tsa/chain."""
        return Reply(200, self._enabled().chain_pem, CHAIN_TYPE.encode())

    def _enabled(self) -> TimeStampingAuthority:
        authority = self._services.tsa
        if authority is None:
            raise NotFoundError(
                "no time-stamping authority answers here; the operator turns it on with tsa_enabled"
            )
        return authority


def authority_routes(services: Services) -> list[Operation]:
    tsa = TsaHandlers(services)
    return [
        Operation(
            _AUTHORITY, "POST", "/tsa", tsa.stamp, "Have a digest time-stamped (RFC 3161)",
            {200: Answer("a token, or the status that says why there is none", content_type=REPLY_TYPE)},
            raw_body=REQUEST_TYPE, refuses=(404,),
        ),
        Operation(
            _AUTHORITY, "GET", "/tsa/chain", tsa.chain, "Certificates of the time-stamping authority",
            {200: Answer("PEM, the signer's first", content_type=CHAIN_TYPE)}, refuses=(404,),
        ),
    ]  # fmt: skip
