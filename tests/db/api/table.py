"""Every operation of the API with a call that is right: what the generated tests go through."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from tests.support.application import Platform
from tests.support.partners import issued

from proof.api.operations import Identification, Operation, OperatorCredential, PartnerCredential
from proof.api.routes import routes
from proof.api.services import Services
from proof.partners.access.buckets import Rate
from proof.partners.access.operators import OperatorScope
from proof.partners.access.rates import CallClass, set_rate
from proof.partners.audit import Actor
from proof.partners.types import Environment, OnboardedPartner


def operator_scope(operation: Operation) -> OperatorScope | None:
    """What an operator must be allowed; None where no operator calls."""
    access = operation.family.access
    return access.scope(operation.method) if isinstance(access, OperatorCredential) else None


_ALL: dict[str, Operation] = {
    f"{operation.method} {operation.path}": operation
    for operation in routes(cast("Services", SimpleNamespace(database=None)))
}
# Those of the operator and of the ramp have tables of their own: other credentials, another error body.
OPERATIONS = {
    name: operation
    for name, operation in _ALL.items()
    if operation.family.tag != "ramp" and operator_scope(operation) is None
}
RAMP_OPERATIONS = {
    name: operation for name, operation in _ALL.items() if operation.family.tag == "ramp"
}
OPERATOR_OPERATIONS = {
    name: operation for name, operation in _ALL.items() if operator_scope(operation) is not None
}
PREFIX = {Environment.PRODUCTION: "", Environment.SANDBOX: "/sandbox"}
NOWHERE = "http://127.0.0.1:1/"
FRESH = "fe" * 32
# SHA-256, no policy, no nonce, no certificates.
STAMP_QUERY = bytes.fromhex("30360201013031300d060960864801650304020105000420" + FRESH)


@dataclass(frozen=True, slots=True)
class Stamped:
    """A hash of one partner that has a proof, and the tree it is in."""

    sha256: str
    tree_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A right call: its path, its body and its status. `named`: it names an object of the caller's,
    so the same call by another partner finds nothing."""

    target: Callable[[Stamped], str]
    status: int = 200
    body: Callable[[Stamped], Any] | None = None
    named: bool = False


def _at(path: str) -> Callable[[Stamped], str]:
    return lambda _: path


TABLE: dict[str, Entry] = {
    "POST /v1/timestamp": Entry(_at("/v1/timestamp"), body=lambda _: {"sha256": [FRESH]}),
    "GET /v1/timestamp/{sha256}": Entry(lambda at: f"/v1/timestamp/{at.sha256}", named=True),
    "GET /v1/tree/{treeId}": Entry(lambda at: f"/v1/tree/{at.tree_id}", named=True),
    "POST /v1/tree/status": Entry(
        _at("/v1/tree/status"), body=lambda at: {"treeId": at.tree_id}, named=True
    ),
    "POST /v1/proof": Entry(
        _at("/v1/proof"),
        202,
        lambda at: {"currencyId": 900, "sha256": at.sha256},
        named=True,
    ),
    "GET /v1/proof/{sha256}": Entry(lambda at: f"/v1/proof/{at.sha256}", named=True),
    "GET /v1/api-key/setting": Entry(_at("/v1/api-key/setting")),
    "PATCH /v1/api-key/setting": Entry(
        _at("/v1/api-key/setting"),
        body=lambda _: {
            "notification": {
                "proof": {"target": NOWHERE},
                "tree": {"target": "", "currencyIds": [900]},
            }
        },
    ),
    "POST /v1/api-key/usage": Entry(
        _at("/v1/api-key/usage"), body=lambda _: {"year": 2026, "month": 11}
    ),
    "POST /v1/webhook/proof/example": Entry(
        _at("/v1/webhook/proof/example"), body=lambda _: {"target": NOWHERE}
    ),
    "POST /v1/webhook/tree/example": Entry(
        _at("/v1/webhook/tree/example"), body=lambda _: {"target": NOWHERE}
    ),
    "GET /log/checkpoint": Entry(_at("/log/checkpoint")),
    "GET /log/key": Entry(_at("/log/key")),
    "GET /log/policy": Entry(_at("/log/policy")),
    "GET /log/tile/entries/{position:path}": Entry(_at("/log/tile/entries/000.p/1")),
    "GET /log/tile/{level}/{position:path}": Entry(_at("/log/tile/0/000.p/1")),
    "GET /log/consistency/{old}/{new}": Entry(_at("/log/consistency/1/1")),
    "GET /log/retired": Entry(_at("/log/retired")),
    "GET /log/retired/{number}/checkpoint": Entry(_at("/log/retired/9/checkpoint"), 404),
    "GET /log/retired/{number}/key": Entry(_at("/log/retired/9/key"), 404),
    "GET /log/retired/{number}/tile/entries/{position:path}": Entry(
        _at("/log/retired/9/tile/entries/000.p/1"), 404
    ),
    "GET /log/retired/{number}/tile/{level}/{position:path}": Entry(
        _at("/log/retired/9/tile/0/000.p/1"), 404
    ),
    "GET /log/retired/{number}/consistency/{old}/{new}": Entry(
        _at("/log/retired/9/consistency/1/1"), 404
    ),
    "OPTIONS /log/checkpoint": Entry(_at("/log/checkpoint"), 204),
    "OPTIONS /log/key": Entry(_at("/log/key"), 204),
    "OPTIONS /log/policy": Entry(_at("/log/policy"), 204),
    "OPTIONS /log/tile/entries/{position:path}": Entry(_at("/log/tile/entries/000.p/1"), 204),
    "OPTIONS /log/tile/{level}/{position:path}": Entry(_at("/log/tile/0/000.p/1"), 204),
    "OPTIONS /log/consistency/{old}/{new}": Entry(_at("/log/consistency/1/1"), 204),
    "OPTIONS /log/retired": Entry(_at("/log/retired"), 204),
    "OPTIONS /log/retired/{number}/checkpoint": Entry(_at("/log/retired/9/checkpoint"), 204),
    "OPTIONS /log/retired/{number}/key": Entry(_at("/log/retired/9/key"), 204),
    "OPTIONS /log/retired/{number}/tile/entries/{position:path}": Entry(
        _at("/log/retired/9/tile/entries/000.p/1"), 204
    ),
    "OPTIONS /log/retired/{number}/tile/{level}/{position:path}": Entry(
        _at("/log/retired/9/tile/0/000.p/1"), 204
    ),
    "OPTIONS /log/retired/{number}/consistency/{old}/{new}": Entry(
        _at("/log/retired/9/consistency/1/1"), 204
    ),
    "GET /receipts/key": Entry(_at("/receipts/key")),
    "OPTIONS /receipts/key": Entry(_at("/receipts/key"), 204),
    "POST /digest": Entry(_at("/digest"), body=lambda _: bytes(32)),
    "GET /timestamp/{commitment}": Entry(_at("/timestamp/" + "00" * 32), 404),
    "OPTIONS /digest": Entry(_at("/digest"), 204),
    "OPTIONS /timestamp/{commitment}": Entry(_at("/timestamp/" + "00" * 32), 204),
    "POST /tsa": Entry(_at("/tsa"), body=lambda _: STAMP_QUERY),
    "GET /tsa/chain": Entry(_at("/tsa/chain")),
    "GET /events": Entry(_at("/events")),
    "GET /whoami": Entry(_at("/whoami")),
    "GET /healthz": Entry(_at("/healthz")),
    "GET /readyz": Entry(_at("/readyz")),
    "GET /openapi.json": Entry(_at("/openapi.json")),
}

WITH_BODY = [name for name, operation in OPERATIONS.items() if operation.body is not None]
WITH_CREDENTIAL = [
    name
    for name, operation in OPERATIONS.items()
    if isinstance(operation.family.access, PartnerCredential) and operation.family.access.kind
]
ANY_KIND = [
    name
    for name, operation in OPERATIONS.items()
    if operation.family.access == PartnerCredential(None, CallClass.READ)
]
IDENTIFYING = [
    name
    for name, operation in OPERATIONS.items()
    if isinstance(operation.family.access, Identification)
]


def call_class_of(operation: Operation) -> CallClass:
    """What the rate counts a call as."""
    access = operation.family.access
    assert isinstance(access, PartnerCredential)
    return access.call_class


async def customer(platform: Platform, environment: Environment, name: str) -> OnboardedPartner:
    """A new partner with a proof webhook set."""
    partner = await platform.onboard(name)
    token = issued(partner, environment).api_key
    setting = {"notification": {"proof": {"target": NOWHERE}}}
    path = f"{PREFIX[environment]}/v1/api-key/setting"
    assert (await platform.call("PATCH", path, setting, token=token)).status == 200
    return partner


async def stamp(
    platform: Platform, partner: OnboardedPartner, environment: Environment, sha256: str
) -> Stamped:
    """Submit one hash and have it sealed, logged and published."""
    token, path = issued(partner, environment).api_key, f"{PREFIX[environment]}/v1/timestamp"
    answer = await platform.call("POST", path, {"sha256": [sha256]}, token=token)
    assert answer.status == 200, answer
    await platform.seal()
    return Stamped(sha256, answer.json["trees"][0]["treeId"])


async def unhurried(platform: Platform, name: str) -> str:
    """The key of a partner that may call as often as it likes."""
    partner, call_class = await platform.onboard(), call_class_of(OPERATIONS[name])
    rate = Rate(1_000_000, 1, 1_000_000)
    async with platform.database.transaction() as tx:
        await set_rate(
            tx, partner.partner_id, Environment.PRODUCTION, call_class, rate, Actor("operator")
        )
    await platform.poll()
    return issued(partner).api_key
