"""Bad and random input at the operator API: named, never our fault, and nothing stored."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.db.api.operators import NEW, PARTNERS, operator, refusal, state
from tests.support.application import Platform

Run = Callable[[Any], Any]

HOOKS = f"{PARTNERS}/{{id}}/production/webhooks"
LATER = "2030-01-01T00:00:00Z"
NOBODYS = "5f0c7b1e-9d59-4a0e-8a7c-3f1d2b6f4e21"
WRONG: list[tuple[str, str, Any, int, str]] = [
    ("GET", f"{PARTNERS}?limit=0", None, 400, "limit"),
    ("GET", f"{PARTNERS}?limit=201", None, 400, "limit"),
    ("GET", f"{PARTNERS}?limit=x", None, 400, "limit"),
    ("GET", f"{PARTNERS}?limit=%D9%A3", None, 400, "limit"),
    ("GET", f"{PARTNERS}?limit=" + "9" * 5000, None, 400, "limit"),
    ("GET", f"{PARTNERS}?after=nobody", None, 400, "after"),
    ("GET", f"{PARTNERS}?after=%00", None, 400, "after"),
    ("GET", f"{PARTNERS}/nobody", None, 404, "nobody"),
    ("GET", f"{PARTNERS}/%00", None, 404, "there is no partner"),
    ("GET", f"{PARTNERS}/ptr_system", None, 404, "ptr_system"),
    ("POST", f"{PARTNERS}/ptr_system/suspend", None, 404, "ptr_system"),
    ("GET", f"{PARTNERS}/%ED%A0%80/handover", None, 404, "there is no partner"),
    ("PUT", PARTNERS, None, 405, "PUT is not allowed"),
    ("DELETE", f"{PARTNERS}/{{id}}", None, 405, "DELETE is not allowed"),
    ("POST", PARTNERS, b"", 400, "not JSON"),
    ("POST", PARTNERS, [], 400, "object"),
    ("POST", PARTNERS, {}, 400, "name"),
    ("POST", PARTNERS, NEW | {"nmae": 1}, 400, "nmae"),
    ("POST", PARTNERS, NEW | {"partner_id": "ptr_1"}, 400, "partner_id"),
    ("POST", PARTNERS, NEW | {"name": ""}, 400, "name: "),
    ("POST", PARTNERS, NEW | {"name": "a\x00b"}, 400, "name: "),
    ("POST", PARTNERS, NEW | {"name": "proof_live_x"}, 400, "looks like a credential"),
    ("POST", PARTNERS, NEW | {"contact_email": "x"}, 400, "contact_email: "),
    ("POST", PARTNERS, NEW | {"production": {}}, 400, "production.ips: at least one"),
    ("POST", PARTNERS, NEW | {"production": {"ips": ["10.0.0.1/8"]}}, 400, "10.0.0.0/8"),
    ("POST", PARTNERS, NEW | {"sandbox": {"webhook": "http://a.example"}}, 400, "sandbox.webhook: "),
    ("POST", PARTNERS, NEW | {"sandbox": {"limits": {"proofs": -1}}}, 400, "limits.proofs"),
    ("POST", PARTNERS, NEW | {"sandbox": {"limits": {"proofs": 2**53}}}, 400, "limits.proofs"),
    ("POST", PARTNERS, NEW | {"sandbox": {"limits": {"proofs": None}}}, 400, "limits.proofs"),
    ("POST", PARTNERS, NEW | {"sandbox": {"wallets": [{"currency": "BTC"}]}}, 400, "network"),
    ("POST", PARTNERS, NEW | {"sandbox": {"widget_id": "wdg_1"}}, 400, "widget_id"),
    ("PATCH", f"{PARTNERS}/{{id}}", {"name": "x"}, 400, "version"),
    ("PATCH", f"{PARTNERS}/{{id}}", {"version": 1, "status": "suspended"}, 400, "status"),
    ("PATCH", f"{PARTNERS}/{{id}}", {"version": 1, "production": {"ips": []}}, 400, "production.ips"),
    ("PATCH", f"{PARTNERS}/{{id}}", {"version": 10**30}, 409, "version"),
    ("PATCH", f"{PARTNERS}/{{id}}", {"version": 7}, 409, "version"),
    ("POST", PARTNERS, b"x" * (1024 * 1024 + 1), 413, "1048576"),
    ("GET", f"{PARTNERS}/nobody/production/webhooks", None, 404, "nobody"),
    ("GET", f"{PARTNERS}/%00/production/webhooks", None, 404, "there is no partner"),
    ("GET", f"{PARTNERS}/%ED%A0%80/sandbox/webhooks", None, 404, "there is no partner"),
    ("GET", f"{PARTNERS}/ptr_system/production/webhooks", None, 404, "ptr_system"),
    ("POST", f"{PARTNERS}/ptr_system/production/webhooks/secrets", {}, 404, "ptr_system"),
    ("POST", f"{PARTNERS}/ptr_system/production/webhooks/secrets/reveal", None, 404, "ptr_system"),
    ("GET", f"{PARTNERS}/{{id}}/live/webhooks", None, 404, "production and sandbox"),
    ("GET", f"{HOOKS}/deliveries?limit=0", None, 400, "limit"),
    ("GET", f"{HOOKS}/deliveries?limit=1001", None, 400, "limit"),
    ("GET", f"{HOOKS}/deliveries?before=0", None, 400, "before"),
    ("GET", f"{HOOKS}/deliveries?before=" + "9" * 18, None, 400, "before"),
    ("GET", f"{HOOKS}/deliveries?state=lost", None, 400, "state: one of pending, delivered"),
    ("GET", f"{HOOKS}/deliveries?endpoint_id=x", None, 400, "endpoint_id: a UUID"),
    ("GET", f"{HOOKS}/deliveries?since=yesterday", None, 400, "since: a time"),
    ("GET", f"{HOOKS}/deliveries?since=2026-11-21", None, 400, "since: a time"),
    ("GET", f"{HOOKS}/deliveries?since=0001-01-01T00:00%2B14:00", None, 400, "since: a time"),
    ("POST", f"{HOOKS}/replay", {}, 400, "delivery, since or failed"),
    ("POST", f"{HOOKS}/replay", {"until": LATER}, 400, "delivery, since or failed"),
    ("POST", f"{HOOKS}/replay", {"delivery": 1, "failed": True}, 400, "delivery: "),
    ("POST", f"{HOOKS}/replay", {"delivery": 1, "since": LATER}, 400, "delivery: "),
    ("POST", f"{HOOKS}/replay", {"delivery": 0}, 400, "delivery"),
    ("POST", f"{HOOKS}/replay", {"delivery": 2**53}, 400, "delivery"),
    ("POST", f"{HOOKS}/replay", {"delivery": 2**53 - 1}, 404, "no delivery"),
    ("POST", f"{HOOKS}/replay", {"failed": True, "until": LATER}, 400, "until: "),
    ("POST", f"{HOOKS}/replay", {"since": "2026-11-21T08:00:00"}, 400, "since"),
    ("POST", f"{HOOKS}/replay", {"since": "0001-01-01T00:00:00+14:00"}, 400, "since"),
    ("POST", f"{HOOKS}/replay", {"failed": True, "endpoint_id": NOBODYS}, 404, NOBODYS),
    ("PATCH", f"{HOOKS}/x", {"enable": True}, 400, "endpoint_id: a UUID"),
    ("PATCH", f"{HOOKS}/{NOBODYS}", {"enable": True}, 404, NOBODYS),
    ("PATCH", f"{HOOKS}/{NOBODYS}", {}, 400, "ordering, ed25519, events or enable"),
    ("PATCH", f"{HOOKS}/{NOBODYS}", {"events": []}, 400, "events"),
    ("PATCH", f"{HOOKS}/{NOBODYS}", {"events": ["transaction.refused"]}, 400, "events"),
    ("PATCH", f"{HOOKS}/{NOBODYS}", {"ordering": "random"}, 400, "ordering"),
    ("POST", f"{HOOKS}/x/test", None, 400, "endpoint_id: a UUID"),
    ("POST", f"{HOOKS}/{NOBODYS}/test", None, 404, NOBODYS),
    ("POST", f"{HOOKS}/secrets", {"grace_s": -1}, 400, "grace_s"),
    ("POST", f"{HOOKS}/secrets", {"grace_s": 604801}, 400, "grace_s"),
    ("POST", f"{HOOKS}/secrets", {"grace": 1}, 400, "grace"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(WRONG)))
async def test_bad_input_is_named_and_stores_nothing(platform: Platform, case: int) -> None:
    method, path, body, status, said = WRONG[case]

    token, partner = (await operator(platform)).token, await platform.onboard()
    before = await state(platform)
    target = path.replace("{id}", partner.partner_id)
    answer = await platform.call(method, target, body, token=token)
    assert refusal(answer)[0] == status, answer
    assert said in answer.json["message"]
    assert await state(platform) == before


TEXT = st.text(max_size=40)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
WHOLE: dict[str, Any] = {
    "ips": ["203.0.113.7"],
    "currencies": ["BTC"],
    "networks": ["BTC"],
    "wallets": [
        {"currency": "BTC", "network": "BTC", "address": "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"}
    ],
    "widget_origins": ["https://a.example"],
    "widget_config": {"currencies": ["BTC"], "lang": "en", "redirect_url": "https://a.example/x"},
    "webhook": "https://a.example",
    "limits": {"proofs": 1},
}


def near(right: Any) -> st.SearchStrategy[Any]:
    """Values shaped like a right one, with anything in any place."""
    if isinstance(right, dict):
        return st.fixed_dictionaries({}, optional={k: near(v) for k, v in right.items()}) | VALUES
    if isinstance(right, list):
        return st.lists(near(right[0]), max_size=2) | VALUES
    return st.just(right) | VALUES


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_random_bodies_are_never_our_fault(run: Run, platform: Platform, method: str) -> None:
    token, partner = run(operator(platform)).token, run(platform.onboard())
    head = NEW if method == "POST" else {"name": "Any", "version": 1}
    path = PARTNERS if method == "POST" else f"{PARTNERS}/{partner.partner_id}"

    @settings(max_examples=120, deadline=None, database=None)
    @given(near(WHOLE), near(WHOLE), near(head))
    def check(production: Any, sandbox: Any, rest: Any) -> None:
        body = {"production": production, "sandbox": sandbox}
        body |= rest if isinstance(rest, dict) else {}
        answer = run(platform.call(method, path, json.dumps(body | head).encode(), token=token))
        assert answer.status in {200, 201, 400, 409}, (body, answer)
        whole = run(platform.call(method, path, json.dumps(head | body).encode(), token=token))
        assert whole.status in {200, 201, 400, 409}, (body, whole)

    check()
