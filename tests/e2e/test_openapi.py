"""The OpenAPI document against a real server: whatever is sent, nothing is answered that it does not say.

Schemathesis makes the calls from the document: its examples, the limits of every schema and what lies just
beyond them, and random ones from a fixed seed. Those that name an object are made twice: with the name that
was made up, and with one that exists.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import strategies as st
from tests.db.api.table import NOWHERE, STAMP_QUERY
from tests.support.served import served
from tests.support.sessions import MERCURYO, WALLET

from proof.api.openapi import document
from proof.api.public.calendar import DIGEST_TYPE
from proof.api.public.tsa import REQUEST_TYPE
from proof.api.routes import routes
from proof.api.services import Services

_SETTINGS = {
    "PROOF_TSA_ENABLED": "true",
    "PROOF_ANONYMOUS_CALLS_PER_MINUTE": "1000000",
    "PROOF_ANONYMOUS_CALLS_PER_SECOND": "1000000",
    # What is sent to webhooks goes to this machine, where nobody listens.
    "PROOF_UNSAFE_OUTBOUND_NETWORKS": "127.0.0.0/8",
}
_CONFIG = {
    "seed": 20090103,
    "request-timeout": 60,
    "generation": {
        "deterministic": True,
        "max-examples": 6,
        "with-security-parameters": False,
    },
    # What the answers of one call teach would make the next ones differ from run to run.
    "phases": {
        "examples": {"extra-data-sources": {"responses": False}},
        "coverage": {"extra-data-sources": {"responses": False}},
        "fuzzing": {
            "extra-data-sources": {"responses": False},
            "error-feedback": {"enabled": False},
        },
    },
}
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
_GIVE_UP_S = 120.0
# For all operations of an environment, on a busy machine.
_LIMIT_S = 1_800
_SESSION = {
    "partner_user_id": "user-1",
    "user_email": "user@acme.example",
    "currency": "USDT",
    "network": "TRC20",
    "amount": "25.5",
}
_RATE = {"calls": 1_000_000, "window_s": 60, "burst": 1_000_000}
_NOTIFICATION = {"proof": {"target": NOWHERE}}
_HASH = "5c" * 32
# By the names of parameters and members.
_KNOWN = {
    **_SESSION,
    **_RATE,
    "sha256": _HASH,
    "currencyId": 900,
    "outcome": "success",
    "old": "1",
    "new": "1",
    "level": "0",
    "position": "000.p/1",
    "network": "TRC20",
    "target": NOWHERE,
    "notification": _NOTIFICATION,
}
_TERMS = {
    "ips": ["127.0.0.1/32"],
    "off_ramp": True,
    "own_address": True,
    "currencies": ["USDT"],
    "networks": ["TRC20"],
    "wallets": [{"currency": "USDT", "network": "TRC20", "address": WALLET}],
}
_PARTNER = {
    "name": "Acme",
    "contact_email": "ops@acme.example",
    "production": _TERMS,
    "sandbox": _TERMS,
}

if TYPE_CHECKING:
    import requests
    from schemathesis import Case


@dataclass(frozen=True, slots=True)
class Side:
    """One of the environments: where it is, who calls, and names of what exists there."""

    base_url: str
    tokens: dict[str, str]
    known: dict[str, Any]
    # A connection for each of thousands of calls would take as long as the calls.
    session: "requests.Session"
    sent: set[str] = field(default_factory=set)

    def headers(self, case: "Case[Any]") -> dict[str, str]:
        ways = case.operation.definition.raw.get("security", [])
        names = {name for way in ways for name in way}
        token = next((token for kind, token in self.tokens.items() if kind in names), None)
        return {} if token is None else {"x-api-key": token}

    def open_session(self) -> str:
        answer = _call(
            "POST", self.base_url + "/widget/session", self.tokens["client_token"], _SESSION
        )
        name: str = answer["merchant_transaction_id"]
        return name


def _document() -> bytes:
    return document(routes(cast("Services", SimpleNamespace(database=None))))


def _schema(environment: str) -> Any:
    """The operations of the document that the environment has."""
    import schemathesis
    from schemathesis.config import SchemathesisConfig

    media_type = schemathesis.openapi.media_type
    media_type(REQUEST_TYPE, st.just(STAMP_QUERY) | st.binary(max_size=80))
    media_type(DIGEST_TYPE, st.binary(max_size=70))
    whole = json.loads(_document())
    server = {"url": {"production": "/", "sandbox": "/sandbox"}[environment]}
    for path, operations in whole["paths"].items():
        whole["paths"][path] = {
            method: operation
            for method, operation in operations.items()
            if server in operation.get("servers", whole["servers"])
        }
    return schemathesis.openapi.from_dict(whole, config=SchemathesisConfig.from_dict(_CONFIG))


# The calls are made up when the tests run, and what makes them is imported then: while they are collected,
# every worker of a parallel run would.
@pytest.fixture
def production() -> Any:
    return _schema("production")


@pytest.fixture
def sandbox() -> Any:
    return _schema("sandbox")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    import requests

    folder = tmp_path_factory.mktemp("chains")
    (folder / "cookie").write_text("user:secret")
    (folder / "chains.toml").write_text(_CHAINS.format(folder=folder))
    settings = _SETTINGS | {"PROOF_CHAINS_FILE": str(folder / "chains.toml")}
    with served(settings, {"PROOF_CALENDAR_URL": "{}"}) as server:
        added = server.run("operator", "add", "--name", "all", "--scope", "write", "--json")
        operator = json.loads(added.stdout)["token"]
        url = server.url + "/operator/v1/partners"
        partner = _call("POST", url, operator, _PARTNER)["credentials"]
        # The operator's calls suspend, replace and revoke: what they do is done to another partner.
        other = _call("POST", url, operator, _PARTNER | {"name": "Other"})["credentials"]
        (folder / "mercuryo.json").write_text(json.dumps(MERCURYO))
        for item in (partner, other):
            owner = ("--partner", item["partner_id"], "--env", "production")
            credentials = ("--credentials", str(folder / "mercuryo.json"))
            done = server.run("provider", "add", "mercuryo", *owner, *credentials)
            assert done.returncode == 0, done.stderr
        with requests.Session() as session:
            session.trust_env = False
            yield {
                environment: _side(url, environment, partner, other, operator, session)
                for environment in ("production", "sandbox")
            }


def _side(
    operator_url: str,
    environment: str,
    partner: dict[str, Any],
    other: dict[str, Any],
    operator: str,
    session: "requests.Session",
) -> Side:
    base_url = partner[environment]["base_url"]
    api_key, client_token = (partner[environment][kind] for kind in ("api_key", "client_token"))
    rates = f"{operator_url}/{partner['partner_id']}/{environment}/rates/example"
    _call("PUT", rates, operator, _RATE)
    for key in (api_key, other[environment]["api_key"]):
        _call("PATCH", base_url + "/v1/api-key/setting", key, {"notification": _NOTIFICATION})
    stamped = _call("POST", base_url + "/v1/timestamp", api_key, {"sha256": [_HASH]})
    webhooks = f"{operator_url}/{other['partner_id']}/{environment}/webhooks"
    side = Side(
        base_url,
        {"operator": operator, "client_token": client_token, "api_key": api_key},
        {
            **_KNOWN,
            "partner_id": other["partner_id"],
            "environment": environment,
            "endpoint_id": _call("GET", webhooks, operator)["endpoints"][0]["id"],
            "key_id": other[environment]["api_key"].split("_")[2],
            "treeId": stamped["trees"][0]["treeId"],
        },
        session,
    )
    side.known["merchant_transaction_id"] = side.known["tx_id"] = side.open_session()
    _await_log(base_url)
    return side


def _await_log(base_url: str) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            urllib.request.urlopen(base_url + "/log/tile/0/000.p/1", timeout=60).close()
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
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_served_document(sides: dict[str, Side]) -> None:
    url = sides["production"].base_url + "/openapi.json"
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == _document()


@pytest.mark.timeout(_LIMIT_S)
def test_production(request: pytest.FixtureRequest) -> None:
    def check(case: "Case[Any]", sides: dict[str, Side]) -> None:
        _check(case, sides["production"])

    _try_operations(request, check)


@pytest.mark.timeout(_LIMIT_S)
def test_sandbox(request: pytest.FixtureRequest) -> None:
    def check(case: "Case[Any]", sides: dict[str, Side]) -> None:
        _check(case, sides["sandbox"])

    _try_operations(request, check)


def _try_operations(request: pytest.FixtureRequest, check: Callable[..., None]) -> None:
    """Check calls of each operation of the environment that the test is named after."""
    import schemathesis

    # Schemathesis reads and sets it, and pytest 9.2 does not have it.
    request.node._nodeid = request.node.nodeid
    environment = request.node.name.removeprefix("test_")
    schemathesis.pytest.from_fixture(environment).parametrize()(check)(request=request)


def _check(case: "Case[Any]", side: Side) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    call = partial(
        case.call_and_validate,
        side.base_url,
        headers=side.headers(case),
        checks=[
            not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
            checks.unsupported_method,
        ],
        session=side.session,
    )
    call()
    if _make_known(case, side) and _is_new(case, side):
        call()


def _make_known(case: "Case[Any]", side: Side) -> bool:
    """Put what exists where the case has something made up; whether there was anything to do."""
    parts = (case.path_parameters, case.query, case.body)
    places = [part for part in parts if isinstance(part, dict) and part.keys() & side.known.keys()]
    known = side.known
    if any("outcome" in place for place in places):
        # The clock may have been moved past the lives of all sessions before.
        known = known | {"merchant_transaction_id": side.open_session()}
    for place in places:
        for name in place.keys() & known.keys():
            place[name] = [known[name]] if isinstance(place[name], list) else known[name]
    return bool(places)


def _is_new(case: "Case[Any]", side: Side) -> bool:
    """Cases that differ only in what was made up are the same call once it is known."""
    parts = (case.path_parameters, case.query, case.headers, case.cookies, case.body)
    call = repr((case.method, case.path, case.media_type, *parts))
    if call in side.sent:
        return False
    side.sent.add(call)
    return True
