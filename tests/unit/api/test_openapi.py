"""What the OpenAPI document says of every operation, beside what the operation says itself."""

import json
from types import SimpleNamespace
from typing import Any, cast

from proof.api.openapi import document
from proof.api.operations import Anybody, PartnerCredential
from proof.api.routes import routes
from proof.api.services import Services

# The handlers are only named, never called, so they need no services.
OPERATIONS = routes(cast("Services", SimpleNamespace(database=None)))


def test_whoever_is_counted_is_told_of_the_limit() -> None:
    paths: dict[str, Any] = json.loads(document(OPERATIONS))["paths"]
    listed = [operation for operation in OPERATIONS if operation.family.listed]
    assert len(listed) == sum(len(methods) for methods in paths.values())
    for operation in listed:
        path = operation.path.replace(":path}", "}")
        told = "429" in paths[path][operation.method.lower()]["responses"]
        counted = isinstance(operation.family.access, Anybody | PartnerCredential)
        assert told is counted, (operation.method, operation.path)
