"""/operator/v1/partners/…: tokens, allowlists and rates of a partner, as the operator sets them."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from proof.api.http import Call, Reply
from proof.api.operations import Answer, Operation, Parameter
from proof.api.operator.families import ENVIRONMENT, PARTNER, operator_family
from proof.api.parameters import environment
from proof.api.services import Services
from proof.core.errors import InvalidInputError, NotFoundError
from proof.partners.access import allowlists, rates, rotation
from proof.partners.access.allowlists import AllowlistInfo, Place
from proof.partners.access.buckets import Rate
from proof.partners.access.networks import AllowlistMode, parse_network
from proof.partners.access.rates import CallClass
from proof.partners.access.rotation import GRACE, LONGEST, CredentialInfo
from proof.partners.types import CredentialKind, Environment

_NOT_KEPT = ((b"cache-control", b"no-store"),)

_encode = msgspec.json.Encoder().encode

_KIND = Parameter("kind", "path", "of token", {"type": "string", "enum": [*CredentialKind]})

_CLASS = Parameter("call_class", "path", "of calls", {"type": "string", "enum": [*CallClass]})

_KEY_ID = Parameter("key_id", "path", "a token's key id", {"type": "string"})

_NETWORK = Parameter("network", "query", "an address or CIDR network", {"type": "string"})


class TokenBody(Struct):
    """A token as people may see it; the token itself was shown once."""

    key_id: str
    environment: Environment
    kind: CredentialKind
    state: Annotated[str, Meta(description="`active`, `expiring`, `expired` or `revoked`")]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: Annotated[datetime | None, Meta(description="null: never")]
    last_address: str | None


class TokenList(Struct):
    """Every token a partner ever had, the newest of each kind first."""

    tokens: list[TokenBody]


class TokenRequest(Struct, forbid_unknown_fields=True):
    """Which kind is replaced, and how the old ones end."""

    kind: CredentialKind
    grace_s: Annotated[
        int,
        Meta(
            ge=0,
            le=int(LONGEST.total_seconds()),
            description="how many seconds old tokens last after the new one's first use; 0 ends them now",
        ),
    ] = int(GRACE.total_seconds())


class NewToken(Struct):
    """A new token, shown this once, and when each of the old ones ends at the latest."""

    key_id: str
    token: str
    ending: dict[str, datetime]


class AllowlistBody(Struct):
    """From where a kind of token may be used."""

    partner_id: str
    environment: Environment
    kind: CredentialKind
    mode: Annotated[
        AllowlistMode,
        Meta(description="`report` lets everybody in and counts whom it would refuse"),
    ]
    networks: list[str]


class NetworkRequest(Struct, forbid_unknown_fields=True):
    """An address or network."""

    network: Annotated[str, Meta(description="an address or CIDR network, IPv4 or IPv6")]
    force: Annotated[bool, Meta(description="accept wider than /8 (IPv4) or /32 (IPv6)")] = False


class ModeRequest(Struct, forbid_unknown_fields=True):
    """What happens to an address that is not on the list."""

    mode: AllowlistMode


class RateBody(Struct, forbid_unknown_fields=True):
    """`calls` in `window_s` seconds on average, `burst` at once."""

    calls: int
    window_s: int
    burst: int


class RateList(Struct):
    """The limits that hold, by class of calls; a class that is not there is not limited."""

    rates: dict[CallClass, RateBody]


class OperatorGateHandlers:
    """The handlers of what the gate goes by."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def tokens(self, call: Call) -> Reply:
        """GET …/{partner_id}/tokens."""
        async with self._services.database.connection() as connection:
            found = await rotation.list_credentials(
                connection, call.path["partner_id"], self._services.clock.now()
            )
        return Reply(200, _encode(TokenList([_token(info) for info in found])))

    async def rotate(self, call: Call) -> Reply:
        """POST …/{partner_id}/{environment}/tokens."""
        body: TokenRequest = call.body
        grace, now = timedelta(seconds=body.grace_s), self._services.clock.now()
        place = (call.path["partner_id"], environment(call.path), body.kind)
        async with self._services.database.transaction() as tx:
            issued = await rotation.rotate(tx, *place, call.actor, now, grace)
        answer = NewToken(issued.key_id, issued.token, issued.ending)
        return Reply(201, _encode(answer), headers=_NOT_KEPT)

    async def revoke(self, call: Call) -> Reply:
        """POST …/{partner_id}/tokens/{key_id}/revoke."""
        partner_id, now = call.path["partner_id"], self._services.clock.now()
        async with self._services.database.transaction() as tx:
            await rotation.revoke(tx, call.path["key_id"], call.actor, now, partner_id)
            found = await rotation.list_credentials(tx, partner_id, now)
        (rate,) = (each for each in found if each.key_id == call.path["key_id"])
        return Reply(200, _encode(_token(rate)))

    async def allowlist(self, call: Call) -> Reply:
        """GET …/{environment}/allowlists/{kind}."""
        async with self._services.database.connection() as connection:
            return _allowlist(await allowlists.show(connection, _place(call)))

    async def allow(self, call: Call) -> Reply:
        """POST …/{environment}/allowlists/{kind}."""
        body: NetworkRequest = call.body
        network, place = parse_network(body.network), _place(call)
        async with self._services.database.transaction() as tx:
            actor = call.actor
            return _allowlist(await allowlists.add(tx, place, network, actor, force=body.force))

    async def disallow(self, call: Call) -> Reply:
        """DELETE …/{environment}/allowlists/{kind}."""
        if "network" not in call.query:
            raise InvalidInputError("network: an address or CIDR network is required")
        network, place = parse_network(call.query["network"]), _place(call)
        async with self._services.database.transaction() as tx:
            return _allowlist(await allowlists.remove(tx, place, network, call.actor))

    async def mode(self, call: Call) -> Reply:
        """PATCH …/{environment}/allowlists/{kind}."""
        body: ModeRequest = call.body
        async with self._services.database.transaction() as tx:
            return _allowlist(await allowlists.set_mode(tx, _place(call), body.mode, call.actor))

    async def rates(self, call: Call) -> Reply:
        """GET …/{environment}/rates."""
        async with self._services.database.connection() as connection:
            found = await rates.rates(connection, *_where(call))
        return _rates(found)

    async def set_rate(self, call: Call) -> Reply:
        """PUT …/{environment}/rates/{call_class}."""
        body: RateBody = call.body
        return await self._set_rate(call, Rate(body.calls, body.window_s, body.burst))

    async def unset_rate(self, call: Call) -> Reply:
        """DELETE …/{environment}/rates/{call_class}."""
        return await self._set_rate(call, None)

    async def _set_rate(self, call: Call, rate: Rate | None) -> Reply:
        name, where = call.path["call_class"], _where(call)
        if name not in list(CallClass):
            raise NotFoundError(f"there are the classes of calls {', '.join(CallClass)}")
        async with self._services.database.transaction() as tx:
            await rates.set_rate(tx, *where, CallClass(name), rate, call.actor)
            return _rates(await rates.rates(tx, *where))


def _where(call: Call) -> tuple[str, Environment]:
    return call.path["partner_id"], environment(call.path)


def _place(call: Call) -> Place:
    name = call.path["kind"]
    if name not in list(CredentialKind):
        raise NotFoundError("there are the kinds client_token and api_key")
    return Place(call.path["partner_id"], environment(call.path), CredentialKind(name))


def _token(info: CredentialInfo) -> TokenBody:
    return TokenBody(
        key_id=info.key_id,
        environment=info.environment,
        kind=info.kind,
        state=info.state,
        created_at=info.created_at,
        expires_at=info.expires_at,
        revoked_at=info.revoked_at,
        last_used_at=info.last_used_at,
        last_address=None if info.last_address is None else str(info.last_address),
    )


def _allowlist(info: AllowlistInfo) -> Reply:
    networks = [str(network) for network in info.networks]
    return Reply(200, _encode(AllowlistBody(*info.place, info.mode, networks)))


def _rates(found: dict[CallClass, Rate]) -> Reply:
    bodies = {name: RateBody(rate.calls, rate.window_s, rate.burst) for name, rate in found.items()}
    return Reply(200, _encode(RateList(bodies)))


def access_routes(services: Services) -> list[Operation]:
    """Tokens, allowlists and rates."""
    gate = OperatorGateHandlers(services)
    partner = "/operator/v1/partners/{partner_id}"
    tokens, lists = f"{partner}/tokens", f"{partner}/{{environment}}/allowlists/{{kind}}"
    rates, where = f"{partner}/{{environment}}/rates", (PARTNER, ENVIRONMENT)
    operation = partial(Operation, operator_family("operator access"))
    allowlist = {200: Answer("the list as it is now", AllowlistBody)}
    limits = {200: Answer("the limits as they are now", RateList)}
    return [
        operation(
            "GET", tokens, gate.tokens, "Tokens: state, deadline, and when and from where last used",
            {200: Answer("every token the partner ever had", TokenList)},
            parameters=(PARTNER,), refuses=(404,),
        ),
        operation(
            "POST", f"{tokens}/{{key_id}}/revoke", gate.revoke,
            "End a token now, everywhere within a second",
            {200: Answer("the token", TokenBody)}, parameters=(PARTNER, _KEY_ID), refuses=(404,),
        ),
        operation(
            "POST", f"{partner}/{{environment}}/tokens", gate.rotate,
            "Issue a new token; old ones end after a grace",
            {201: Answer("the token, shown this once, and the ends of the old ones", NewToken)},
            body=TokenRequest, parameters=where, refuses=(404,),
        ),
        operation(
            "GET", lists, gate.allowlist, "From where a kind of token may be used", allowlist,
            parameters=(*where, _KIND), refuses=(404,),
        ),
        operation(
            "POST", lists, gate.allow, "Let an address or network in", allowlist,
            body=NetworkRequest, parameters=(*where, _KIND), refuses=(404,),
        ),
        operation(
            "DELETE", lists, gate.disallow, "Take an address or network off the list", allowlist,
            parameters=(*where, _KIND, _NETWORK), refuses=(404,),
        ),
        operation(
            "PATCH", lists, gate.mode, "Enforce the list, or report only whom it would refuse", allowlist,
            body=ModeRequest, parameters=(*where, _KIND), refuses=(404,),
        ),
        operation(
            "GET", rates, gate.rates, "How fast the partner may call",
            {200: Answer("the limits that hold", RateList)}, parameters=where, refuses=(404,),
        ),
        operation(
            "PUT", f"{rates}/{{call_class}}", gate.set_rate, "Limit a class of calls", limits,
            body=RateBody, parameters=(*where, _CLASS), refuses=(404,),
        ),
        operation(
            "DELETE", f"{rates}/{{call_class}}", gate.unset_rate,
            "Set no limit for a class of calls", limits,
            parameters=(*where, _CLASS), refuses=(404,),
        ),
    ]  # fmt: skip
