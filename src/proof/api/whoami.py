"""GET /whoami: what we make of a caller, for those who are refused and wonder why."""

import msgspec
from msgspec import Struct

from proof.api.http import Call, Reply
from proof.partners.access.gate import is_allowed
from proof.partners.access.networks import AllowlistMode
from proof.partners.types import CredentialKind, Environment


class WhoAmI(Struct):
    """`allowed`: the allowlist of this kind of token holds the address. With `allowlist_mode` report, an
    address that it does not hold is let in all the same."""

    partner_id: str
    environment: Environment
    kind: CredentialKind
    key_id: str
    address: str
    allowed: bool
    allowlist_mode: AllowlistMode
    suspended: bool


async def whoami(call: Call) -> Reply:
    """GET /whoami: any valid token of this environment, from any address."""
    credential = call.credential
    answer = WhoAmI(
        partner_id=credential.owner.partner_id,
        environment=credential.owner.environment,
        kind=credential.kind,
        key_id=credential.key_id,
        address=str(call.edge.address),
        allowed=is_allowed(credential, call.edge.address),
        allowlist_mode=credential.allowlist.mode,
        suspended=credential.owner.suspended,
    )
    return Reply(200, msgspec.json.encode(answer))
