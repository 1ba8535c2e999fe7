"""Every error has the form of its product, or of the credential where both kinds may call."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.db.api.table import OPERATIONS, PREFIX
from tests.support.application import CALLER, Answer, Platform
from tests.support.partners import issued, suspend

from proof.partners.types import CredentialKind, Environment

OFF_LIST = "198.51.100.66"
CLIENT_TOKEN, API_KEY = CredentialKind.CLIENT_TOKEN, CredentialKind.API_KEY
RAMP, TIMESTAMPS, OPERATOR = ["error", "code", "message"], ["message"], ["message", "code"]
SHARED = {name for name, operation in OPERATIONS.items() if operation.family.errors_by_kind}


def said(answer: Answer) -> tuple[int, str, str]:
    """Status, slug and code of an error in the ramp's form; that form is all the body holds."""
    assert list(answer.json) == RAMP, answer
    return answer.status, answer.json["error"], answer.json["code"]


def test_both_kinds_of_credentials_share_these_paths() -> None:
    assert {"GET /events", "GET /whoami"} == SHARED


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize("path", ["/events", "/whoami"])
async def test_a_shared_path_answers_in_the_form_of_the_credential(
    platform: Platform, path: str, environment: Environment
) -> None:
    partner = await platform.onboard(
        production_networks=(f"{CALLER}/32",), sandbox_networks=(f"{CALLER}/32",)
    )
    tokens = issued(partner, environment)
    target = PREFIX[environment] + path

    async def tried(token: str | None, **options: Any) -> Answer:
        return await platform.call(
            options.pop("method", "GET"),
            target + options.pop("query", ""),
            token=token,
            **options,
        )

    for token, code in ((None, "missing_token"), ("proof_x", "invalid_token")):
        for method in ("GET", "DELETE"):
            assert said(await tried(token, method=method)) == (401, "unauthorised", code)
    wrong = await tried(tokens.client_token, method="DELETE")
    assert said(wrong) == (405, "invalid_request", "method_not_allowed")
    assert wrong.headers["allow"] == "GET"
    assert (await tried(tokens.api_key, method="DELETE")).message.startswith("DELETE is not")
    if path == "/events":
        far = await tried(tokens.client_token, address=OFF_LIST)
        assert said(far) == (403, "forbidden", "ip_not_allowed")
        for query in ("?after=x", "?after=1&after=1"):
            odd = await tried(tokens.client_token, query=query)
            assert said(odd) == (400, "invalid_request", "validation_error")
        assert "after" in (await tried(tokens.api_key, query="?after=x")).message
        await suspend(platform.database, partner)
        await platform.poll()
        held = await tried(tokens.client_token, address=OFF_LIST)
        assert said(held) == (403, "forbidden", "partner_suspended")
        assert "suspended" in (await tried(tokens.api_key)).message


def headed(platform: Platform, path: str, hosts: Sequence[str], version: str = "1.1") -> Any:
    """A call with these Host headers and no other."""

    class Bare:
        async def app(self, scope: Any, receive: Any, send: Any) -> None:
            rest = [(name, value) for name, value in scope["headers"] if name != b"host"]
            mine = [(b"host", host.encode()) for host in hosts]
            scope |= {"headers": mine + rest, "http_version": version}
            await platform.client.app(scope, receive, send)

    return type(platform.client)(Bare().app).call("GET", path)


WRONG_HOSTS = [(), ("proof.example", "proof.example"), ("proof.example", "a.example"), ("",)]
WRONG_HOSTS += [("a b",), ("a/b",), ("a@b",), ("a:b",), ("a,b/",), ("[::1",), ("a\n",)]
FORMS = {
    "/v1/timestamp/00": TIMESTAMPS,
    "/healthz": TIMESTAMPS,
    "/": TIMESTAMPS,
    "/docs/": TIMESTAMPS,
    "/widget/session": RAMP,
    "/ws": RAMP,
    "/w/api/state": RAMP,
    "/providers/x/y/callback": RAMP,
    "/events": RAMP,
    "/whoami": RAMP,
    "/sandbox/widget/x": RAMP,
    "/sandbox/clock/advance": RAMP,
    "/operator/v1/partners": OPERATOR,
    "/metrics": OPERATOR,
}


@pytest.mark.parametrize("hosts", WRONG_HOSTS, ids=repr)
async def test_a_request_that_does_not_say_where_it_goes_is_refused(
    platform: Platform, hosts: tuple[str, ...]
) -> None:
    for path, form in FORMS.items():
        answer = await headed(platform, path, hosts)
        assert (answer.status, list(answer.json)) == (400, form), path
        assert answer.json["message"].startswith("Host: ")
        assert answer.json.get("code", "validation_error") == "validation_error"
        assert answer.headers["x-request-id"].startswith("req_")
    text = await headed(platform, "/digest", hosts)
    assert (text.status, text.body[:6]) == (400, b"Host: ")


@pytest.mark.parametrize(
    "host", ["proof.example", "PROOF.example:443", "10.0.0.1:8000", "[::1]:8000", "[::1]", "a_b:"]
)
async def test_any_host_is_served(platform: Platform, host: str) -> None:
    assert (await headed(platform, "/healthz", (host,))).status == 200


async def test_http_1_0_has_no_host(platform: Platform) -> None:
    assert (await headed(platform, "/healthz", (), "1.0")).status == 200
    assert (await headed(platform, "/healthz", ("a", "a"), "1.0")).status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/digest", bytes(65), 413),
        ("POST", "/digest", b"", 400),
        ("GET", "/digest", None, 405),
        ("DELETE", "/timestamp/00", None, 405),
        ("GET", "/timestamp/00", None, 404),
        ("GET", "/timestamp/x?a=1&a=2", None, 400),
        ("GET", "/timestamp/x/y", None, 404),
        ("POST", "/sandbox/digest", bytes(32), 404),
    ],
)
async def test_every_error_of_the_calendar_is_short_text_for_any_page(
    platform: Platform, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = await platform.call(method, path, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "text/plain; charset=us-ascii"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert 0 < len(answer.body) < 200
    assert not answer.body.startswith(b"{")
