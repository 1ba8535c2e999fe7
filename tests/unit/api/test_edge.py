"""The base URL decides the environment."""

import asyncio
import json
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.types import Message

from proof.api.edge import BaseUrls, NotFound
from proof.api.http import Edge
from proof.api.operations import families_by_path
from proof.api.routes import routes
from proof.api.services import Services
from proof.partners.types import Environment

PRODUCTION, SANDBOX = Environment.PRODUCTION, Environment.SANDBOX
PREFIX = BaseUrls("https://proof.example", "https://proof.example/sandbox")
HOSTS = BaseUrls("https://proof.example", "https://Sandbox.proof.example")
BELOW = BaseUrls("https://proof.example/api/", "https://proof.example/api/sandbox/")
BOTH = BaseUrls("https://proof.example/live", "https://test.example/try")


@pytest.mark.parametrize(
    ("urls", "host", "path", "expected"),
    [
        (PREFIX, "proof.example", "/v1/timestamp", (PRODUCTION, "/v1/timestamp")),
        (PREFIX, "proof.example", "/sandbox/v1/timestamp", (SANDBOX, "/v1/timestamp")),
        (PREFIX, "proof.example", "/sandbox", (SANDBOX, "/")),
        (PREFIX, "proof.example", "/sandbox/", (SANDBOX, "/")),
        (PREFIX, "proof.example", "/sandboxed/v1", (PRODUCTION, "/sandboxed/v1")),
        (PREFIX, "proof.example", "/Sandbox/v1", (PRODUCTION, "/Sandbox/v1")),
        (PREFIX, "proof.example", "/v1/sandbox/", (PRODUCTION, "/v1/sandbox/")),
        (PREFIX, "proof.example", "/sandbox/sandbox/x", (SANDBOX, "/sandbox/x")),
        (PREFIX, "whatever.example", "/sandbox/x", (SANDBOX, "/x")),
        (PREFIX, "", "/", (PRODUCTION, "/")),
        (HOSTS, "proof.example", "/v1/x", (PRODUCTION, "/v1/x")),
        (HOSTS, "sandbox.proof.example", "/v1/x", (SANDBOX, "/v1/x")),
        (HOSTS, "SANDBOX.PROOF.EXAMPLE", "/v1/x", (SANDBOX, "/v1/x")),
        (HOSTS, "sandbox.proof.example:443", "/v1/x", (SANDBOX, "/v1/x")),
        (HOSTS, "sandbox.proof.example:444", "/v1/x", (PRODUCTION, "/v1/x")),
        (HOSTS, "sandbox.proof.example:99999", "/v1/x", (PRODUCTION, "/v1/x")),
        (HOSTS, "[", "/v1/x", (PRODUCTION, "/v1/x")),
        (HOSTS, "10.0.0.1:8000", "/v1/x", (PRODUCTION, "/v1/x")),
        (HOSTS, "proof.example", "/sandbox/v1/x", (PRODUCTION, "/sandbox/v1/x")),
        (BELOW, "proof.example", "/api/v1/x", (PRODUCTION, "/v1/x")),
        (BELOW, "proof.example", "/api/sandbox/v1/x", (SANDBOX, "/v1/x")),
        (BELOW, "proof.example", "/api", (PRODUCTION, "/")),
        (BELOW, "proof.example", "/v1/x", None),
        (BELOW, "proof.example", "/apis/v1/x", None),
        (BOTH, "proof.example", "/live/v1/x", (PRODUCTION, "/v1/x")),
        (BOTH, "test.example", "/try/v1/x", (SANDBOX, "/v1/x")),
        (BOTH, "test.example", "/live/v1/x", None),
        (BOTH, "proof.example", "/try/v1/x", None),
    ],
)
def test_environment_and_rest_of_the_path(
    urls: BaseUrls, host: str, path: str, expected: tuple[Environment, str] | None
) -> None:
    assert urls.resolve(host, path) == expected


@pytest.mark.parametrize(
    ("path", "code"),
    [("/operator/v1/foo", "not_found"), ("/v1/foo", None), ("/operators", None)],
)
def test_nothing_there_has_a_code_below_operator(path: str, code: str | None) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body is not read")

    async def send(message: Message) -> None:
        sent.append(message)

    edge = Edge("req_1", PRODUCTION, ip_address("192.0.2.1"))
    # The handlers are only named, never called, so they need no services.
    unopened = cast("Services", SimpleNamespace(database=None))
    answer = NotFound(families_by_path(routes(unopened)))
    asyncio.run(answer({"type": "http", "path": path, "proof": edge}, receive, send))
    body: dict[str, Any] = json.loads(sent[-1]["body"])
    assert sent[0]["status"] == 404
    assert body["message"] == f"there is nothing at {path}"
    assert body.get("code") == code
