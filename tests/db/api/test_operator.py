"""The operator API, tried as an attacker and used as an operator: generated from the route list."""

import json
import re
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from tests.db.api.operators import (
    NEW,
    PARTNERS,
    READ,
    WRITE,
    gone,
    operator,
    refusal,
    state,
)
from tests.db.api.table import OPERATOR_OPERATIONS, PREFIX, operator_scope
from tests.db.partners.processes import key_id
from tests.db.webhooks.scene import endpoint, endpoint_id
from tests.support.application import CALLER, Answer, Platform, staged
from tests.support.partners import issued
from tests.support.relay import relay

from proof.db.embedded import EmbeddedCluster
from proof.mail import Mailer, Security
from proof.main.events import configure_logging
from proof.partners.access.allowlists import Place, add
from proof.partners.access.operators import IssuedOperator
from proof.partners.audit import Actor
from proof.partners.types import CredentialKind, Environment, OnboardedPartner


@dataclass(frozen=True, slots=True)
class Entry:
    """A right call of a route."""

    path: str
    status: int = 200
    body: dict[str, Any] | None = None


WEBHOOKS = f"{PARTNERS}/{{partner_id}}/{{environment}}/webhooks"
HOOKS = f"{PARTNERS}/{{id}}/production/webhooks"
LISTS = f"{PARTNERS}/{{partner_id}}/{{environment}}/allowlists/{{kind}}"
LIST = f"{PARTNERS}/{{id}}/production/allowlists/client_token"
RATES = f"{PARTNERS}/{{partner_id}}/{{environment}}/rates"
TABLE = {
    "GET /metrics": Entry("/metrics"),
    # No worker is alive here.
    "GET /statusz": Entry("/statusz", 503),
    f"POST {PARTNERS}": Entry(PARTNERS, 201, NEW),
    f"GET {PARTNERS}": Entry(f"{PARTNERS}?limit=2"),
    f"GET {PARTNERS}/{{partner_id}}": Entry(f"{PARTNERS}/{{id}}"),
    f"PATCH {PARTNERS}/{{partner_id}}": Entry(
        f"{PARTNERS}/{{id}}", body={"version": 2, "name": "Renamed"}
    ),
    f"POST {PARTNERS}/{{partner_id}}/suspend": Entry(f"{PARTNERS}/{{id}}/suspend"),
    f"POST {PARTNERS}/{{partner_id}}/resume": Entry(f"{PARTNERS}/{{id}}/resume"),
    f"GET {PARTNERS}/{{partner_id}}/handover": Entry(f"{PARTNERS}/{{id}}/handover"),
    f"POST {PARTNERS}/{{partner_id}}/handover": Entry(f"{PARTNERS}/{{id}}/handover", 201),
    f"GET {WEBHOOKS}": Entry(HOOKS),
    f"GET {WEBHOOKS}/deliveries": Entry(f"{HOOKS}/deliveries?state=failed&limit=2"),
    f"POST {WEBHOOKS}/replay": Entry(f"{HOOKS}/replay", body={"failed": True}),
    f"PATCH {WEBHOOKS}/{{endpoint_id}}": Entry(f"{HOOKS}/{{endpoint}}", body={"ed25519": True}),
    f"POST {WEBHOOKS}/{{endpoint_id}}/test": Entry(f"{HOOKS}/{{endpoint}}/test", 202),
    f"GET {WEBHOOKS}/secrets": Entry(f"{HOOKS}/secrets"),
    f"POST {WEBHOOKS}/secrets": Entry(f"{HOOKS}/secrets", 201, {}),
    f"POST {WEBHOOKS}/secrets/reveal": Entry(f"{HOOKS}/secrets/reveal"),
    f"GET {PARTNERS}/{{partner_id}}/tokens": Entry(f"{PARTNERS}/{{id}}/tokens"),
    f"POST {PARTNERS}/{{partner_id}}/tokens/{{key_id}}/revoke": Entry(
        f"{PARTNERS}/{{id}}/tokens/{{key}}/revoke"
    ),
    f"POST {PARTNERS}/{{partner_id}}/{{environment}}/tokens": Entry(
        f"{PARTNERS}/{{id}}/sandbox/tokens", 201, {"kind": "api_key"}
    ),
    f"GET {LISTS}": Entry(LIST),
    f"POST {LISTS}": Entry(LIST, body={"network": "192.0.2.0/24"}),
    f"DELETE {LISTS}": Entry(f"{PARTNERS}/{{id}}/sandbox/allowlists/api_key?network=192.0.2.0/24"),
    f"PATCH {LISTS}": Entry(LIST, body={"mode": "report"}),
    f"GET {RATES}": Entry(f"{PARTNERS}/{{id}}/production/rates"),
    f"PUT {RATES}/{{call_class}}": Entry(
        f"{PARTNERS}/{{id}}/production/rates/submit",
        body={"calls": 60, "window_s": 60, "burst": 10},
    ),
    f"DELETE {RATES}/{{call_class}}": Entry(f"{PARTNERS}/{{id}}/production/rates/submit"),
    "GET /operator/v1/refusals": Entry("/operator/v1/refusals?partner_id={id}&limit=5"),
    "GET /operator/v1/audit": Entry("/operator/v1/audit?partner_id={id}&limit=5"),
}


def test_every_route_has_its_entry_and_every_entry_its_route() -> None:
    assert TABLE.keys() == OPERATOR_OPERATIONS.keys()


def test_what_changes_anything_needs_the_scope_write() -> None:
    for name, operation in OPERATOR_OPERATIONS.items():
        assert operator_scope(operation) is (READ if name.startswith("GET") else WRITE), name
        assert operation.family.environments == (Environment.PRODUCTION,)


@pytest.mark.parametrize("name", OPERATOR_OPERATIONS)
async def test_who_is_let_in(platform: Platform, name: str) -> None:
    await _try_all(platform, name)


async def _try_all(platform: Platform, name: str) -> None:
    partner, revoked = await platform.onboard("Seen"), await gone(platform)
    owner = issued(partner).partner_environment_id
    await endpoint(platform.database, "https://seen.example/", to=owner)
    own_endpoint = str(await endpoint_id(platform.database, owner))
    async with platform.database.transaction() as tx:
        place = Place(partner.partner_id, Environment.SANDBOX, CredentialKind.API_KEY)
        await add(tx, place, ip_network("192.0.2.0/24"), Actor("cli"))
    reader, writer = await operator(platform, READ), await operator(platform)
    before = await state(platform)

    async def tried(token: str | None, prefix: str = "") -> Answer:
        entry, method = TABLE[name], OPERATOR_OPERATIONS[name].method
        path = entry.path.replace("{id}", partner.partner_id).replace("{endpoint}", own_endpoint)
        path = prefix + path.replace("{key}", key_id(issued(partner).api_key))
        return await platform.call(method, path, entry.body, token=token, address=CALLER)

    missing = await tried(None)
    assert refusal(missing) == (401, "missing_token", 0)
    assert missing.headers["www-authenticate"] == "Bearer"
    for token in _wrong(platform, partner, revoked, writer):
        answer = await tried(token)
        assert refusal(answer) == (401, "invalid_token", 0), token
        assert answer.json["message"] == "the credential is not valid here"
    if operator_scope(OPERATOR_OPERATIONS[name]) is WRITE:
        assert refusal(await tried(reader.token)) == (403, "scope_missing", 0)
    sandbox = await tried(writer.token, PREFIX[Environment.SANDBOX])
    assert sandbox.status == 404, "there is one operator API, without prefix"
    assert await state(platform) == before
    if operator_scope(OPERATOR_OPERATIONS[name]) is READ:
        assert (await tried(reader.token)).status == TABLE[name].status
    assert (await tried(writer.token)).status == TABLE[name].status


def _wrong(
    platform: Platform, partner: OnboardedPartner, revoked: IssuedOperator, writer: IssuedOperator
) -> list[str]:
    partners = [
        token
        for environment in Environment
        for item in [issued(partner, environment)]
        for token in (item.client_token, item.api_key)
    ]
    mistyped = writer.token[:-1] + ("0" if writer.token[-1] != "0" else "1")
    return [*partners, revoked.token, mistyped, "secret", writer.token + "\x00", writer.token * 50]


async def test_a_reader_that_would_write_is_in_the_log(platform: Platform) -> None:
    reader = await operator(platform, READ)
    with capture_logs() as logs:
        answer = await platform.call("POST", PARTNERS, NEW, token=reader.token)
    assert refusal(answer) == (403, "scope_missing", 0)
    assert [(log["reason"], log["key_id"]) for log in logs] == [("scope_missing", reader.key_id)]


async def test_an_operators_token_opens_nothing_of_a_partners(platform: Platform) -> None:
    token = (await operator(platform)).token
    for path in ("/v1/api-key/usage", "/sandbox/v1/api-key/usage"):
        answer = await platform.call("POST", path, {"year": 2026}, token=token)
        assert (answer.status, answer.message) == (401, "the credential is not valid here")


async def test_a_partner_is_onboarded_and_calls(platform: Platform) -> None:
    found = await operator(platform)
    body = NEW | {"sandbox": {"ips": ["198.51.100.0/24"]}}
    answer = await platform.call("POST", PARTNERS, body, token=found.token)
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert list(answer.json) == ["partner", "credentials"]
    partner, secrets = answer.json["partner"], answer.json["credentials"]
    assert partner["sandbox"]["missing"] == []
    assert partner["production"]["missing"] != []
    assert partner["sandbox"]["ips"] == ["198.51.100.0/24"]
    assert secrets["sandbox"]["base_url"] == "https://proof.example/sandbox"
    assert secrets["partner_id"] == partner["partner_id"]
    await platform.poll()
    usage = ("POST", "/v1/api-key/usage", {"year": 2026})
    called = await platform.call(*usage, token=secrets["production"]["api_key"])
    assert called.status == 200
    (row,) = await platform.fetch(
        "SELECT * FROM audit_log WHERE partner_id = $1", partner["partner_id"]
    )
    assert (row["actor"], row["address"], row["action"]) == (
        found.key_id, CALLER, "partner.add",
    )  # fmt: skip
    assert row["request_id"] == answer.headers["x-request-id"]


async def test_secrets_behind_a_link_are_seen_once(platform: Platform) -> None:
    token = (await operator(platform)).token
    answer = await platform.call("POST", PARTNERS, NEW | {"link": True}, token=token)
    assert list(answer.json) == ["partner", "handover_url", "expires_at", "mailed_to"]
    assert answer.json["mailed_to"] is None
    assert b"proof_live_" not in answer.body
    url, _, secret = answer.json["handover_url"].partition("#")
    assert url == "https://proof.example/handover"
    for _ in range(3):
        looked = await platform.call("GET", "/handover")
        assert looked.status == 200
    shown = await platform.call("POST", "/handover", secret.encode())
    assert shown.status == 200
    assert b"proof_live_" in shown.body
    assert b"proof_test_" in shown.body
    again = await platform.call("POST", "/handover", secret.encode())
    assert again.status == 410
    assert b"opened already" in again.body
    assert (await platform.call("GET", "/sandbox/handover")).status == 404


async def test_a_link_brings_new_tokens_and_the_old_ones_go_on_for_a_while(
    platform: Platform,
) -> None:
    token, partner = (await operator(platform)).token, await platform.onboard()
    path = f"{PARTNERS}/{partner.partner_id}/handover"
    answer = await platform.call("POST", path, token=token)
    assert list(answer.json) == ["handover_url", "expires_at", "mailed_to"]
    assert answer.headers["cache-control"] == "no-store"
    secret = answer.json["handover_url"].partition("#")[2]
    sheet = (await platform.call("POST", "/handover", secret.encode())).body.decode()
    await platform.poll()
    fresh = re.findall(r"^api_key +(proof_live_\w+)$", sheet, re.M)
    for key in (*fresh, issued(partner).api_key):
        usage = await platform.call("POST", "/v1/api-key/usage", {"year": 2026}, token=key)
        assert usage.status == 200
    assert len(fresh) == 1
    assert issued(partner).api_key not in sheet
    assert issued(partner).webhook_secret in sheet, "its receiver knows no other"


async def test_a_change_says_what_differs_and_needs_the_version_seen(platform: Platform) -> None:
    token, partner = (await operator(platform)).token, await platform.onboard()
    path = f"{PARTNERS}/{partner.partner_id}"
    body = {"version": 1, "production": {"limits": {"proofs": 9}}}
    first = await platform.call("PATCH", path, body, token=token)
    assert first.json["partner"]["version"] == 2
    assert first.json["changes"] == [
        {"field": "production.limits.proofs", "before": "unlimited", "after": 9}
    ]
    stale = await platform.call("PATCH", path, body, token=token)
    assert refusal(stale)[:2] == (409, "conflict")
    assert "at version 2, not 1" in stale.json["message"]
    shown = await platform.call("GET", path, token=token)
    assert shown.json == first.json["partner"]
    same = await platform.call("PATCH", path, body | {"version": 2}, token=token)
    assert (same.json["changes"], same.json["partner"]["version"]) == ([], 2)


async def test_wide_networks_need_force(platform: Platform) -> None:
    token = (await operator(platform)).token
    body = NEW | {"production": {"ips": ["::/0"]}}
    answer = await platform.call("POST", PARTNERS, body, token=token)
    assert refusal(answer)[:2] == (400, "validation_error")
    assert "production.ips: ::/0 is wider" in answer.json["message"]
    answer = await platform.call("POST", PARTNERS, body | {"force": True}, token=token)
    assert answer.status == 201
    (row,) = await platform.fetch(
        "SELECT after FROM audit_log WHERE partner_id = $1",
        answer.json["partner"]["partner_id"],
    )
    assert json.loads(row["after"])["forced"] == ["production.ips: ::/0"]


async def test_pages(platform: Platform) -> None:
    token = (await operator(platform, READ)).token
    added = [(await platform.onboard(f"Page {number}")).partner_id for number in range(5)]
    seen, after = [], ""
    while True:
        answer = await platform.call("GET", f"{PARTNERS}?limit=2&after={after}", token=token)
        seen += [item["partner_id"] for item in answer.json["partners"]]
        after = answer.json["next"]
        if not after:
            break
    assert seen[-5:] == added
    assert len(seen) == len(set(seen))


async def test_the_sheet_is_markdown_without_secrets(platform: Platform) -> None:
    token, partner = (await operator(platform, READ)).token, await platform.onboard()
    answer = await platform.call("GET", f"{PARTNERS}/{partner.partner_id}/handover", token=token)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert b"integration sheet" in answer.body
    assert b"proof_live_" not in answer.body


@pytest.mark.parametrize("refuse", ["", "RCPT"])
def test_a_link_is_mailed_where_there_is_a_relay(
    cluster: EmbeddedCluster, tmp_path: Path, refuse: str
) -> None:
    with relay(refuse) as found:
        mailer = Mailer("127.0.0.1", found.port, Security.NONE, "proof@proof.example")
        with staged(cluster, tmp_path, mailer=mailer) as stage:

            async def scene() -> None:
                platform = stage.platform
                token = (await operator(platform)).token
                added = await platform.call("POST", PARTNERS, NEW | {"link": True}, token=token)
                path = f"{PARTNERS}/{added.json['partner']['partner_id']}/handover"
                again = await platform.call("POST", path, token=token)
                for answer in (added, again):
                    assert answer.status == 201
                    assert answer.json["mailed_to"] == (None if refuse else NEW["contact_email"])
                    mailed = found.text.replace("=\n", "").replace("=3D", "=")
                    assert (answer.json["handover_url"] in mailed) is not bool(refuse)
                    secret = answer.json["handover_url"].partition("#")[2]
                    opened = await platform.call("POST", "/handover", secret.encode())
                    assert b"proof_live_" in opened.body
                plain = await platform.call("POST", PARTNERS, NEW, token=token)
                assert "mailed_to" not in plain.json

            stage.run(scene())


async def test_no_secret_reaches_the_log_when_something_breaks(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    token, secret = (await operator(platform)).token, "Secret" * 7 + "S"

    def broken(*_: Any) -> Any:
        raise RuntimeError("a fault on the way")

    before = structlog.get_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proof.partners.access.operators.Operators._genuine", broken)
        patch.setattr("proof.main.server.pages.require_link", broken)
        configure_logging()
        try:
            listed = await platform.call("GET", PARTNERS, token=token)
            opened = await platform.call("POST", "/handover", secret.encode())
        finally:
            structlog.configure(**before)
    assert (listed.status, listed.json["code"], opened.status) == (500, "internal_error", 500)
    logged = capsys.readouterr().err
    assert logged.count("a fault on the way") == 2
    assert listed.headers["x-request-id"] in logged
    for text in (token, token.split("_")[3], secret):
        assert text not in logged
