"""The OpenAPI document against a real server: whatever is sent, nothing is answered that it does not say.

Schemathesis makes the calls from the document: its examples, the limits of every schema and what lies just
beyond them, and random ones from a fixed seed. Those that name an object are made twice: with the name that
was made up, and with one that exists.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.db.api.table import STAMP_QUERY
from tests.support.served import Server, served
from tests.support.sessions import WALLET

from proof.api.openapi import document
from proof.api.routes import routes
from proof.api.services import Services
from proof.api.tsa import REQUEST_TYPE

_SETTINGS = {
    "PROOF_TSA_ENABLED": "true",
    "PROOF_ANONYMOUS_CALLS_PER_MINUTE": "1000000",
    # What is sent to webhooks goes to this machine, where nobody listens.
    "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
}
_CONFIG = {
    "seed": 20090103,
    "generation": {
        "deterministic": True,
        "max-examples": 8,
        "with-security-parameters": False,
    },
    # What the answers of one call teach would make the next ones differ from run to run.
    "phases": {
        phase: {"extra-data-sources": {"responses": False}}
        for phase in ("examples", "coverage", "fuzzing")
    },
}
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
# A calendar promises Bitcoin, which takes longer than this: nobody needs to answer there.
_CHAINS = """
[production.bitcoin]
url = "http://127.0.0.1:1"
credentials_file = "{folder}/cookie"
wallet = "anchors"
network = "regtest"
confirmations = 6
every_s = 600
"""
_NOWHERE = "http://127.0.0.1:1/"
_GIVE_UP_S = 30.0
_SESSION = {
    "partner_user_id": "user-1",
    "user_email": "user@acme.example",
    "currency": "USDT",
    "network": "TRC20",
    "amount": "25.5",
}
_TERMS = {
    "ips": ["127.0.0.1/32"],
    "off_ramp": True,
    "own_address": True,
    "currencies": ["USDT"],
    "networks": ["TRC20"],
    "wallets": [{"currency": "USDT", "network": "TRC20", "address": WALLET}],
}
_HASH = "5c" * 32
_DOCUMENT = document(routes(cast("Services", SimpleNamespace(database=None))))

schemathesis.openapi.media_type(REQUEST_TYPE, st.just(STAMP_QUERY) | st.binary(max_size=80))


@dataclass(frozen=True, slots=True)
class Side:
    """One of the environments: where it is, who calls, and names of what exists there."""

    base_url: str
    tokens: dict[str, str]
    known: dict[str, Any]

    def headers(self, case: schemathesis.Case) -> dict[str, str]:
        ways = case.operation.definition.raw.get("security", [])
        names = {name for way in ways for name in way}
        token = next((token for kind, token in self.tokens.items() if kind in names), None)
        return {} if token is None else {"x-api-key": token}


def _schema(environment: str) -> Any:
    """The document, as far as it is about one environment."""
    whole = json.loads(_DOCUMENT)
    server = {"production": "/", "sandbox": "/sandbox"}[environment]
    for path, operations in list(whole["paths"].items()):
        whole["paths"][path] = {
            method: operation
            for method, operation in operations.items()
            if {"url": server} in operation.get("servers", whole["servers"])
        }
    return schemathesis.openapi.from_dict(whole, config=SchemathesisConfig.from_dict(_CONFIG))


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    folder = tmp_path_factory.mktemp("chains")
    (folder / "cookie").write_text("user:secret")
    (folder / "chains.toml").write_text(_CHAINS.format(folder=folder))
    settings = _SETTINGS | {"PROOF_CHAINS_FILE": str(folder / "chains.toml")}
    with served(settings, {"PROOF_CALENDAR_URL": "{}"}) as server:
        added = server.run("operator", "add", "--name", "all", "--scope", "write", "--json")
        operator = json.loads(added.stdout)["token"]
        partner = _onboard(server, operator, "Acme")
        # The operator's calls suspend, replace and revoke: what they do is done to another partner.
        other = _onboard(server, operator, "Other")
        yield {
            environment: _side(server, environment, partner, other, operator)
            for environment in ("production", "sandbox")
        }


def _onboard(server: Server, operator: str, name: str) -> dict[str, Any]:
    wanted = {
        "name": name,
        "contact_email": "ops@acme.example",
        "production": _TERMS,
        "sandbox": _TERMS,
    }
    answer = _call("POST", f"{server.url}/operator/v1/partners", operator, wanted)
    credentials: dict[str, Any] = answer["credentials"]
    return credentials


def _side(
    server: Server,
    environment: str,
    partner: dict[str, Any],
    other: dict[str, Any],
    operator: str,
) -> Side:
    url = partner[environment]["base_url"]
    api_key, token = (partner[environment][kind] for kind in ("api_key", "client_token"))
    target = {"notification": {"proof": {"target": _NOWHERE}}}
    for owner in (partner, other):
        key = owner[environment]["api_key"]
        _call("PATCH", f"{url}/v1/api-key/setting", key, target)
    stamped = _call("POST", f"{url}/v1/timestamp", api_key, {"sha256": [_HASH]})
    endpoints = _call(
        "GET",
        f"{server.url}/operator/v1/partners/{other['partner_id']}/{environment}/webhooks",
        operator,
    )
    session = _call("POST", f"{url}/widget/session", token, _SESSION)
    known = {
        **_SESSION,
        "partner_id": other["partner_id"],
        "environment": environment,
        "endpoint_id": endpoints["endpoints"][0]["id"],
        "sha256": _HASH,
        "treeId": stamped["trees"][0]["treeId"],
        "currencyId": 900,
        "merchant_transaction_id": session["merchant_transaction_id"],
        "tx_id": session["merchant_transaction_id"],
        "outcome": "success",
        "old": "1",
        "new": "1",
        "level": "0",
        "position": "000.p/1",
        "target": _NOWHERE,
    }
    _await_checkpoint(url)
    return Side(
        url, {"operator": operator, "client_token": token, "api_key": api_key}, known
    )


def _await_checkpoint(url: str) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/log/tile/0/000.p/1", timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()
            assert time.monotonic() < deadline, "the log stayed empty"
            time.sleep(0.1)
        else:
            return


def _call(method: str, url: str, token: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"x-api-key": token, "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_the_served_document(sides: dict[str, Side]) -> None:
    with urllib.request.urlopen(f"{sides['production'].base_url}/openapi.json") as answer:
        assert answer.read() == _DOCUMENT


@_schema("production").parametrize()
def test_production(case: schemathesis.Case, sides: dict[str, Side]) -> None:
    _check(case, sides["production"])


@_schema("sandbox").parametrize()
def test_sandbox(case: schemathesis.Case, sides: dict[str, Side]) -> None:
    _check(case, sides["sandbox"])


def _check(case: schemathesis.Case, side: Side) -> None:
    headers = side.headers(case)
    case.call_and_validate(side.base_url, headers=headers, checks=_CHECKS)
    if _make_known(case, side.known):
        case.call_and_validate(side.base_url, headers=headers, checks=_CHECKS)


def _make_known(case: schemathesis.Case, known: dict[str, Any]) -> bool:
    """Put names of what exists where the case has others; whether there were any."""
    places = [
        place
        for place in (case.path_parameters, case.query, case.body)
        if isinstance(place, dict) and place.keys() & known.keys()
    ]
    for place in places:
        place.update({name: known[name] for name in place.keys() & known.keys()})
    return bool(places)
