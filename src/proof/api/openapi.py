"""The OpenAPI document, made from the route list."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from proof import __version__
from proof.api.operations import (
    Answer,
    Anybody,
    Identification,
    Operation,
    OperatorCredential,
    PartnerCredential,
)
from proof.api.operator.wire import CodedMessage
from proof.api.ramp.errors import RampError
from proof.api.wire import Message, ProofPayload, TimestampData
from proof.partners.types import CredentialKind, Environment
from proof.ramp.sessions.types import TransactionView
from proof.ramp.transactions.events import EVENT_TYPE, REFUND_EVENT
from proof.receipts.maturing import RECEIPT_EVENT
from proof.timestamps.anchors.notices import TREE_EVENT
from proof.timestamps.proofs.service import PROOF_EVENT
from proof.webhooks.types import TEST_EVENT

WEBHOOK_HEADERS = {
    "webhook-id": "the event's id, the same in every attempt: tell repeats by it",
    "webhook-timestamp": "seconds since 1970 UTC of this attempt",
    "webhook-signature": "`v1,` and the base64 HMAC-SHA256 over `id.timestamp.body`; several, by spaces",
    "webhook-sequence": "the event's number among those of its object, from 1 without gaps",
    "x-signature": "hex HMAC-SHA256 over the body alone, with the newest secret",
    "user-agent": "`Proof/` and the version",
}
_REFUSALS = {
    400: "invalid or missing fields; the message says what and where",
    401: "credential missing, unknown or of the other environment",
    403: "credential of the wrong kind, or an address that is not allowed",
    404: "unknown here",
    405: "the path has no such method",
    409: "what you want to change is no longer as you saw it",
    413: "body too large",
    422: "the idempotency key was used with another body",
    425: "not yet available",
    426: "a WebSocket, and the request opens none",
    429: "a rate or quota is reached",
    500: "our failure; the message names the request id it is logged under",
    502: "the provider's failure",
    503: "the database is away or others are being served; nothing was done, or nobody knows: try again",
}
_ABOUT = (
    "Two products: the ramp, by which a partner's users buy and sell coins, with a `client_token`; and"
    " timestamps that anybody verifies without us, with an `api_key`. The sandbox has the same paths below"
    " its own base URL. Errors have the form of their product."
)
_REF = "#/components/schemas/{name}"
_SERVERS = {Environment.PRODUCTION: {"url": "/"}, Environment.SANDBOX: {"url": "/sandbox"}}


_KINDS: tuple[str, ...] = (*CredentialKind, "operator")
_EITHER_KIND: list[dict[str, list[str]]] = [
    {name: []} for kind in CredentialKind for name in (kind, f"{kind}_bearer")
]


class TransactionNotice(TransactionView, frozen=True, kw_only=True):
    """A change of a transaction's status, as polling told it then. Receivers ignore members they do not
    know."""

    event: Literal["transaction.status"]


class RefundNotice(TransactionView, frozen=True, kw_only=True):
    """How far a payment has gone back, with the transaction as polling told it then; `record_sha256` is of
    the refund's record."""

    event: Literal["transaction.refunded"]


class ReceiptNotice(Struct):
    """One more chain proves a transaction's records, or more of them."""

    event: Literal["transaction.receipt"]
    merchant_transaction_id: UUID
    records: Annotated[str, Meta(description="how many, from the first, the chain proves now")]
    record_sha256: Annotated[str, Meta(description="SHA-256 of the newest of them, in hex")]
    currency: Annotated[str, Meta(description="the chain, as proofs name it: LOG, BTC, …")]
    receipt_url: Annotated[str, Meta(description="where the receipt is")]


class TestNotice(Struct):
    """What the operator tries a receiver with."""

    id: Annotated[str, Meta(description="the event's UUID")]
    type: Literal["webhook.test"]


WEBHOOKS: tuple[tuple[str, str, type[Struct]], ...] = (
    (EVENT_TYPE, "A transaction's status changed", TransactionNotice),
    (REFUND_EVENT, "A payment goes back; to those who asked for it", RefundNotice),
    (RECEIPT_EVENT, "A receipt has matured; to those who asked for it", ReceiptNotice),
    (PROOF_EVENT, "A proof that was asked for", ProofPayload),
    (TREE_EVENT, "A tree with hashes of yours is verified", TimestampData),
    (TEST_EVENT, "The operator tries your receiver", TestNotice),
)


def document(operations: Sequence[Operation]) -> bytes:
    """OpenAPI 3.1 as indented JSON with sorted keys, so that a diff shows what changed."""
    listed = [operation for operation in operations if operation.family.listed]
    types = {kind for operation in listed for kind in _types(operation)}
    types |= {Message, CodedMessage, RampError, *(body for _, _, body in WEBHOOKS)}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    references = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        path = operation.path.replace(":path}", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, references)
    return (
        json.dumps(
            {
                "openapi": "3.1.0",
                "info": {
                    "title": "Proof",
                    "version": __version__,
                    "description": _ABOUT,
                },
                "servers": [*_SERVERS.values()],
                "paths": paths,
                "webhooks": _webhooks(references),
                "components": {"schemas": components, "securitySchemes": _schemes()},
            },
            indent=1,
            sort_keys=True,
        ).encode()
        + b"\n"
    )


def _webhooks(references: dict[type, Any]) -> dict[str, Any]:
    """What is posted to partners, by the type of its event (OpenAPI 3.1, 4.8.1)."""
    return {
        name: {
            "post": {
                "operationId": f"webhook_{name}",
                "summary": summary,
                "tags": ["webhooks"],
                "parameters": [
                    {
                        "name": header,
                        "in": "header",
                        "required": True,
                        "description": about,
                        "schema": {"type": "string"},
                    }
                    for header, about in WEBHOOK_HEADERS.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": references[body]}},
                },
                "responses": {
                    "2XX": {"description": "delivered; anything else is tried again"},
                    "410": {"description": "the endpoint is gone: it is disabled"},
                },
            }
        }
        for name, summary, body in WEBHOOKS
    }


def _operation(operation: Operation, references: dict[type, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.identity
        or operation.handler.__qualname__.replace("Handlers.", "_"),
        "summary": operation.summary,
        "tags": [operation.family.tag],
        "responses": {
            str(status): _answer(answer, references) | _headers(operation)
            for status, answer in operation.answers.items()
        }
        | _refusals(operation, references),
    }
    if operation.family.environments != tuple(Environment):
        described["servers"] = [_SERVERS[each] for each in operation.family.environments]
    described |= _security(operation)
    if operation.body is not None or operation.raw_body is not None:
        content = _content(operation, references)
        described["requestBody"] = {"required": True, "content": content}
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.required,
                "description": parameter.description,
                "schema": parameter.schema,
            }
            for parameter in operation.parameters
        ]
    return described


def _security(operation: Operation) -> dict[str, Any]:
    match operation.family.access:
        case OperatorCredential() as access:
            about = f"Needs an operator of scope {access.scope(operation.method)}."
            return {"security": [{"operator_bearer": []}, {"operator": []}], "description": about}
        case PartnerCredential(kind=None):
            about = "Needs an `api_key` or a `client_token`."
            return {"security": _EITHER_KIND, "description": about}
        case PartnerCredential(kind=kind):
            return {"security": [{f"{kind}_bearer": []}, {str(kind): []}]}
        case Identification():
            return {"security": _EITHER_KIND}
        case Anybody():
            return {}


def _content(operation: Operation, references: dict[type, Any]) -> dict[str, Any]:
    if operation.raw_body is not None:
        return {operation.raw_body: {}}
    assert operation.body is not None, "an operation with a body has one of the two"
    return {"application/json": {"schema": references[operation.body]}}


def _refusals(operation: Operation, references: dict[type, Any]) -> dict[str, Any]:
    return {
        str(status): {
            "description": _REFUSALS[status],
            "content": _error_content(operation, status, references),
        }
        for status in _refused(operation)
    }


def _error_content(
    operation: Operation, status: int, references: dict[type, Any]
) -> dict[str, Any]:
    family = operation.family
    if family.errors.body is None:
        return {"text/plain": {}}
    forms = [family.errors]
    if status != 401:
        forms += family.errors_by_kind.values()
    schemas = [references[form.body] for form in forms if form.body is not None]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"application/json": {"schema": schema}}


def _refused(operation: Operation) -> list[int]:
    """The statuses of what an operation refuses: those it lists, and those that follow from who may call
    and from its having a body."""
    refused = {*operation.refuses, 400, 405, 500, 503}
    match operation.family.access:
        case OperatorCredential():
            refused |= {401, 403}
        case PartnerCredential():
            refused |= {401, 403, 429}
        case Identification():
            refused |= {401}
        case Anybody():
            refused |= {429}
    if operation.body is not None or operation.raw_body is not None:
        refused |= {413}
    return sorted(refused - set(operation.answers))


def _answer(answer: Answer, references: dict[type, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.body is not None:
        described["content"] = {answer.content_type: {"schema": references[answer.body]}}
    elif answer.content_type != "application/json":
        described["content"] = {answer.content_type: {}}
    if answer.files:
        described["content"] |= {name: {} for name in answer.files}
    return described


def _headers(operation: Operation) -> dict[str, Any]:
    """Those that every answer of its family has."""
    described = {
        name.decode(): {"required": True, "schema": {"const": value.decode()}}
        for name, value in operation.family.headers
    }
    return {"headers": described} if described else {}


def _types(operation: Operation) -> list[type]:
    bodies = [answer.body for answer in operation.answers.values() if answer.body is not None]
    return bodies + ([operation.body] if operation.body is not None else [])


def _schemes() -> dict[str, Any]:
    schemes: dict[str, Any] = {}
    for kind in _KINDS:
        schemes[kind] = {"type": "apiKey", "in": "header", "name": "x-api-key"}
        schemes[f"{kind}_bearer"] = {"type": "http", "scheme": "bearer"}
    return schemes
