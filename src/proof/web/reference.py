"""The reference page, made from the OpenAPI document of the running program."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from proof.web.tables import code, table

Json = Mapping[str, Any]

_TAGS = {
    "timestamps": "Timestamps",
    "proofs": "Proofs",
    "ramp": "The ramp",
    "events": "Events",
    "credentials": "Credentials",
    "settings": "Settings and usage",
    "log": "The log",
    "receipts": "Receipts",
    "calendar": "OpenTimestamps calendar",
    "time-stamping authority": "Time-stamping authority",
    "operator": "Partners, for operators",
    "operator webhooks": "Webhooks, for operators",
    "operator access": "Tokens, addresses, rates and records, for operators",
    "system": "The server",
}
_HASH = "853ff93762a06ddbf722c4ebe9ddd66d8f63ddaea97f521c3ecc20da7c976020"
# Values of the examples, by the name of a field or parameter.
_EXAMPLES: Mapping[str, Any] = {
    "sha256": _HASH,
    "commitment": _HASH,
    "treeId": "2ba9ddfe-3bb4-4a45-8dd3-9c463ba1d37a",
    "currencyId": 900,
    "currencyIds": 900,
    "target": "https://hooks.acme.example/proof",
    "year": 2026,
    "month": 11,
    "level": 0,
    "position": "000.p/1",
    "number": 1,
    "old": 1,
    "new": 2,
    "format": "json",
    "partner_id": "ptr_0Ie1P2uMi2fCZ",
    "after": "ptr_0Ie1P2uMi2fCZ",
    "limit": 50,
    "name": "Acme",
    "contact_email": "ops@acme.example",
    "production": {"ips": ["203.0.113.7"]},
    "version": 1,
    "environment": "production",
    "endpoint_id": "5f0c7b1e-9d59-4a0e-8a7c-3f1d2b6f4e21",
    "state": "failed",
    "actor": "cli:anna",
    "action": "token",
    "since": "2026-11-21T08:00:00Z",
    "until": "2026-11-22T08:00:00Z",
    "before": 4217,
    "failed": True,
    "ordering": "subject",
    "ed25519": True,
    "enable": True,
    "events": "transaction.status",
    "grace_s": 86400,
    "kind": "client_token",
    "key_id": "03A4afx1kCKBF",
    "network": "203.0.113.0/24",
    "mode": "report",
    "call_class": "submit",
    "calls": 600,
    "window_s": 60,
    "burst": 100,
    "subject": "0b6f6d2e-55b1-4bb1-9d0a-7d1f6a0f6f0a",
    "merchant_transaction_id": "8d9c2f0e-6b1a-4f57-9c1e-2f4f1f0a7b63",
    "seconds": 3600,
    "outcome": "success",
    "tx_id": "8d9c2f0e-6b1a-4f57-9c1e-2f4f1f0a7b63",
    "partner_user_id": "user-4711",
    "user_email": "user@acme.example",
    "currency": "USDT",
    "amount": "25.5",
    "type": "buy",
    "partner_reference": "order-4711",
}
# What a request can do without, and a reader of its example too.
_LEFT_OUT = frozenset(
    {
        *("sandbox", "force", "link", "delivery", "until", "endpoint_id"),
        *("redirect_url", "client_ip", "address", "amounts"),
    }
)
_KEYS = {"operator": "PROOF_OPERATOR_TOKEN", "client_token": "PROOF_CLIENT_TOKEN"}


def reference_markdown(openapi: Json, base_url: str) -> str:
    """A section for each tag with all its operations.

    Raises KeyError for a tag or a field of a request that has no words or example here.
    """
    by_tag: dict[str, list[str]] = {tag: [] for tag in _TAGS}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            found = _Operation(openapi, base_url, path, method.upper(), operation)
            by_tag[operation["tags"][0]].append(found.markdown())
    return "\n\n".join(
        part for tag, title in _TAGS.items() for part in (f"## {title}", *by_tag[tag])
    )


class _Operation:
    def __init__(
        self, openapi: Json, base_url: str, path: str, method: str, operation: Json
    ) -> None:
        self._openapi = openapi
        self._base_url = base_url
        self._path = path
        self._method = method
        self._operation = operation

    def markdown(self) -> str:
        parts = [
            f"### {code(self._method)} {code(self._path)}",
            f"{self._operation['summary']}. {self._credential()}",
            *self._parameters(),
            *self._fields("Body", self._body()),
            *self._answers(),
            *self._example(),
        ]
        return "\n\n".join(parts)

    def _credential(self) -> str:
        for scheme in self._operation.get("security", ()):
            kind = next(iter(scheme)).removesuffix("_bearer")
            return str(self._operation.get("description", f"Needs an {code(kind)}."))
        return "Open to anybody."

    def _parameters(self) -> list[str]:
        rows = [
            (
                code(parameter["name"]),
                parameter["in"],
                _type_of(self._openapi, parameter["schema"]),
                "yes" if parameter["required"] else "no",
                parameter["description"],
            )
            for parameter in self._operation.get("parameters", ())
        ]
        return [table(("Parameter", "In", "Type", "Required", "Meaning"), rows)] if rows else []

    def _body(self) -> Json | None:
        return _json_schema(self._operation.get("requestBody", {}))

    def _fields(self, title: str, schema: Json | None) -> list[str]:
        rows = list(_rows(self._openapi, schema)) if schema else []
        return [table((title, "Type", "Required", "Meaning"), rows)] if rows else []

    def _answers(self) -> list[str]:
        answers = self._operation["responses"]
        rows = [(code(status), answer["description"]) for status, answer in answers.items()]
        described = [
            part
            for status, answer in answers.items()
            if status.startswith("2")
            for part in self._fields(f"Answer {status}", _json_schema(answer))
        ]
        # 200 and 202 of one operation have the same body.
        return [*dict.fromkeys(described[:1]), table(("Status", "Meaning"), rows)]

    def _example(self) -> list[str]:
        path, query = self._path, {}
        for parameter in self._operation.get("parameters", ()):
            if parameter["in"] == "header":
                continue
            (value, *_) = parameter["schema"].get("examples") or [_EXAMPLES[parameter["name"]]]
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", str(value))
            else:
                query[parameter["name"]] = value
        url = self._base_url + path + (f"?{urlencode(query)}" if query else "")
        lines = [f"curl -X {self._method} '{url}'" if self._method != "GET" else f"curl '{url}'"]
        if "security" in self._operation:
            kind = next(iter(self._operation["security"][0])).removesuffix("_bearer")
            lines.append(f'-H "x-api-key: ${_KEYS.get(kind, "PROOF_API_KEY")}"')
        body = self._body()
        if body is not None:
            lines.append("-H 'content-type: application/json'")
            lines.append(f"-d '{json.dumps(_example_of(self._openapi, body))}'")
        return ["```sh\n" + " \\\n  ".join(lines) + "\n```"]


def _json_schema(described: Json) -> Json | None:
    schema: Json | None = described.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _resolved(openapi: Json, schema: Json) -> Json:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = openapi["components"]["schemas"][name]
    return schema


def _rows(openapi: Json, schema: Json, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """A row for each field, those of nested objects after it with their path."""
    schema = _resolved(openapi, schema)
    for name, field in schema.get("properties", {}).items():
        required = "yes" if name in schema.get("required", ()) else "no"
        about = field.get("description", "")
        yield code(prefix + name), _type_of(openapi, field), required, about
        inner = _resolved(openapi, field)
        marks = ""
        if inner.get("type") == "array":
            inner, marks = _resolved(openapi, inner["items"]), "[]"
        yield from _rows(openapi, inner, f"{prefix}{name}{marks}.")


def _type_of(openapi: Json, schema: Json) -> str:
    schema = _resolved(openapi, schema)
    if "anyOf" in schema:
        return " or ".join(_type_of(openapi, choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(code(str(choice)) for choice in schema["enum"])
    if "type" not in schema:
        return "anything"
    if schema["type"] == "array":
        return f"list of {_type_of(openapi, schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f", {low} to {high}" if low is not None and high is not None else ""
    return str(schema["type"]) + bounds


def _example_of(openapi: Json, schema: Json, name: str = "") -> Any:
    schema = _resolved(openapi, schema)
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("type") == "object" and name not in _EXAMPLES:
        return {
            field: _example_of(openapi, inner, field)
            for field, inner in schema.get("properties", {}).items()
            if field not in _LEFT_OUT
        }
    if schema.get("type") == "array":
        return [_example_of(openapi, schema["items"], name)]
    return _EXAMPLES[name]
