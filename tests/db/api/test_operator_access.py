"""Tokens, allowlists, rates, refusals and the audit log, as an operator uses them over HTTP."""

from typing import Any

import pytest
from tests.db.api.operators import PARTNERS, READ, operator, refusal
from tests.db.webhooks.scene import until
from tests.support.application import CALLER, Answer, Platform
from tests.support.partners import issued
from tests.support.rates import stopped_clocks

from proof.partners.access.rates import DEFAULT_RATES

USAGE = ("POST", "/v1/api-key/usage", {"year": 2026})
ELSEWHERE = "198.51.100.7"


class Office:
    """An operator at work on one partner."""

    def __init__(self, platform: Platform, token: str, partner: Any) -> None:
        self.platform = platform
        self.token = token
        self.partner = partner

    async def __call__(self, method: str, path: str, body: Any = None) -> Answer:
        """A call below the partner's path."""
        path = f"{PARTNERS}/{self.partner.partner_id}/{path}"
        return await self.platform.call(method, path, body, token=self.token)

    async def used(self, token: str, address: str = CALLER) -> Answer:
        """A call of the partner's."""
        await self.platform.poll()
        return await self.platform.call(*USAGE, token=token, address=address)

    async def actions(self) -> list[str]:
        path = f"/operator/v1/audit?partner_id={self.partner.partner_id}&limit=100"
        answer = await self.platform.call("GET", path, token=self.token)
        return [entry["action"] for entry in answer.json["entries"]]


async def office(platform: Platform) -> Office:
    return Office(platform, (await operator(platform)).token, await platform.onboard("Office"))


async def test_a_token_is_rotated_and_the_old_one_revoked(platform: Platform) -> None:
    desk = await office(platform)
    old = issued(desk.partner).api_key
    assert (await desk.used(old)).status == 200
    answer = await desk("POST", "production/tokens", {"kind": "api_key", "grace_s": 3600})
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert list(answer.json["ending"]) == [old.split("_")[2]]
    for token in (old, answer.json["token"]):
        assert (await desk.used(token)).status == 200
    revoked = await desk("POST", f"tokens/{old.split('_')[2]}/revoke")
    assert (revoked.status, revoked.json["state"]) == (200, "revoked")
    assert (await desk.used(old)).status == 401
    listed = (await desk("GET", "tokens")).json["tokens"]
    states = {item["key_id"]: item["state"] for item in listed}
    assert states[answer.json["key_id"]] == "active"
    assert states[old.split("_")[2]] == "revoked"
    assert len(states) == 5
    assert answer.json["token"] not in str(listed)
    assert {"token.rotate", "token.revoke"} <= {*await desk.actions()}


async def test_last_use_is_shown(platform: Platform) -> None:
    desk = await office(platform)
    token = issued(desk.partner).api_key
    await desk.used(token, ELSEWHERE)

    async def shown() -> dict[str, Any]:
        listed = (await desk("GET", "tokens")).json["tokens"]
        return {item["key_id"]: item["last_address"] for item in listed if item["last_used_at"]}

    async def seen() -> bool:
        return bool(await shown())

    await until(seen)
    assert await shown() == {token.split("_")[2]: ELSEWHERE}


@pytest.mark.parametrize("grace_s", [-1, 7 * 86_400 + 1, "1", None, 1.5])
async def test_a_grace_out_of_range_is_refused(platform: Platform, grace_s: Any) -> None:
    desk = await office(platform)
    answer = await desk("POST", "sandbox/tokens", {"kind": "api_key", "grace_s": grace_s})
    assert refusal(answer)[:2] == (400, "validation_error")
    assert len((await desk("GET", "tokens")).json["tokens"]) == 4


async def test_another_partners_token_is_not_there_and_no_token_is_repeated(
    platform: Platform,
) -> None:
    desk, other = await office(platform), await office(platform)
    theirs = issued(other.partner).api_key
    answer = await desk("POST", f"tokens/{theirs.split('_')[2]}/revoke")
    assert refusal(answer)[:2] == (404, "not_found")
    assert (await other.used(theirs)).status == 200
    whole = await desk("POST", f"tokens/{theirs}/revoke")
    assert whole.status == 400
    assert theirs not in whole.body.decode()


async def test_an_allowlist_is_changed_while_calls_go_on(platform: Platform) -> None:
    desk = await office(platform)
    token, path = issued(desk.partner).api_key, "production/allowlists/api_key"
    shown = await desk("GET", path)
    assert shown.json == {
        "partner_id": desk.partner.partner_id,
        "environment": "production",
        "kind": "api_key",
        "mode": "enforce",
        "networks": [],
    }
    added = await desk("POST", path, {"network": "192.0.2.0/24"})
    assert added.json["networks"] == ["192.0.2.0/24"]
    assert (await desk.used(token, ELSEWHERE)).status == 403
    assert (await desk("PATCH", path, {"mode": "report"})).json["mode"] == "report"
    assert (await desk.used(token, ELSEWHERE)).status == 200
    gone = await desk("DELETE", f"{path}?network=192.0.2.0/24")
    assert gone.json["networks"] == []
    again = await desk("DELETE", f"{path}?network=192.0.2.0/24")
    assert refusal(again)[:2] == (404, "not_found")
    assert (await desk.actions())[:3] == ["allowlist.remove", "allowlist.mode", "allowlist.add"]


async def test_networks_that_are_none_are_refused(platform: Platform) -> None:
    desk = await office(platform)
    path = "sandbox/allowlists/client_token"
    host_bits = await desk("POST", path, {"network": "192.0.2.7/24"})
    assert "the network is 192.0.2.0/24" in host_bits.json["message"]
    wide = await desk("POST", path, {"network": "0.0.0.0/0"})
    assert refusal(wide)[:2] == (400, "validation_error")
    forced = await desk("POST", path, {"network": "0.0.0.0/0", "force": True})
    assert forced.json["networks"] == ["0.0.0.0/0"]
    assert (await desk("DELETE", path)).status == 400
    for wrong in ("sandbox/allowlists/token", "test/allowlists/api_key"):
        assert (await desk("GET", wrong)).status == 404


async def test_rates_are_set_kept_and_lifted(platform: Platform) -> None:
    desk = await office(platform)
    token, path = issued(desk.partner).api_key, "production/rates"
    default = {str(call_class): rate._asdict() for call_class, rate in DEFAULT_RATES.items()}
    assert default["example"] == {"calls": 30, "window_s": 60, "burst": 30}
    assert (await desk("GET", path)).json == {"rates": default}
    two = {"calls": 2, "window_s": 3600, "burst": 2}
    put = await desk("PUT", f"{path}/settings", two)
    assert put.json == {"rates": default | {"settings": two}}
    statuses = [(await desk.used(token)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    lifted = await desk("DELETE", f"{path}/settings")
    assert lifted.json == {"rates": default}
    policy = (await desk.used(token)).headers["ratelimit-policy"]
    assert policy == '"settings";q=60;w=60', "what holds where nothing is set"
    zero = await desk("PUT", f"{path}/settings", two | {"calls": 0})
    assert refusal(zero)[:2] == (400, "validation_error")
    assert (await desk("PUT", f"{path}/everything", two)).status == 404


async def test_examples_have_a_rate_of_their_own_until_it_is_set(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_clocks(monkeypatch)

    desk = await office(platform)
    token, body = issued(desk.partner).api_key, {"target": "http://127.0.0.1:1/"}
    answers = [
        await platform.call("POST", "/v1/webhook/tree/example", body, token=token)
        for _ in range(31)
    ]
    assert [answer.status for answer in answers] == [200] * 30 + [429]
    assert answers[-1].headers["ratelimit-policy"] == '"example";q=30;w=60'
    assert (await desk.used(token)).status == 200


async def test_refusals_are_read(platform: Platform) -> None:
    desk = await office(platform)
    token = issued(desk.partner).client_token
    await desk.used(token)
    path = f"/operator/v1/refusals?partner_id={desk.partner.partner_id}"

    async def shown() -> list[dict[str, Any]]:
        answer = await platform.call("GET", path, token=desk.token)
        return list(answer.json["refusals"])

    await until(shown)
    (found,) = await shown()
    assert (found["reason"], found["network"], found["count"]) == ("scope_missing", CALLER, 1)
    assert found["key_id"] is None
    later = await platform.call("GET", f"{path}&since=2999-01-01T00:00:00Z", token=desk.token)
    assert later.json == {"refusals": []}
    unknown = await platform.call(
        "GET", "/operator/v1/refusals?partner_id=ptr_none", token=desk.token
    )
    assert refusal(unknown)[:2] == (404, "not_found")
    assert (await platform.call("GET", f"{path}&limit=0", token=desk.token)).status == 400


async def test_the_audit_log_is_read_by_pages(platform: Platform) -> None:
    desk = await office(platform)
    for mode in ("report", "enforce", "report"):
        await desk("PATCH", "sandbox/allowlists/api_key", {"mode": mode})
    reader = (await operator(platform, READ)).token
    path = f"/operator/v1/audit?partner_id={desk.partner.partner_id}&limit=3"
    first = (await platform.call("GET", path, token=reader)).json
    assert [item["after"]["mode"] for item in first["entries"]] == [
        "report",
        "enforce",
        "report",
    ]
    second = await platform.call("GET", f"{path}&before={first['next']}", token=reader)
    assert [item["action"] for item in second.json["entries"]] == ["partner.add"]
    assert second.json["next"] == 0
    everything = await platform.call("GET", "/operator/v1/audit?limit=2", token=reader)
    assert len(everything.json["entries"]) == 2
    by = f"{path}&actor={first['entries'][0]['actor']}&action=allowlist"
    found = (await platform.call("GET", by, token=reader)).json["entries"]
    assert found == first["entries"]
    for nothing in ("action=allow", "actor=nobody", "until=2020-01-01T00:00:00Z"):
        assert (await platform.call("GET", f"{path}&{nothing}", token=reader)).json == {
            "entries": [],
            "next": 0,
        }
    assert (await platform.call("GET", f"{path}&since=soon", token=reader)).status == 400
    nobody = "/operator/v1/audit?partner_id=ptr_none"
    assert (await platform.call("GET", nobody, token=reader)).status == 404


async def test_a_partners_change_of_targets_is_in_the_audit_log_without_what_may_be_secret(
    platform: Platform,
) -> None:
    desk = await office(platform)
    token = issued(desk.partner).api_key
    target = "https://hooks.acme.example/T0KEN?key=s3cret"
    for _ in range(2):
        answer = await platform.call(
            "PATCH",
            "/v1/api-key/setting",
            {"notification": {"proof": {"target": target}}},
            token=token,
        )
        assert answer.status == 200
    path = f"/operator/v1/audit?partner_id={desk.partner.partner_id}"
    shown = await platform.call("GET", path, token=desk.token)
    changed = [item for item in shown.json["entries"] if item["action"] == "setting.change"]
    assert len(changed) == 1, "the second call changed nothing"
    assert changed[0]["before"]["proof"] == ""
    assert changed[0]["after"]["proof"] == "https://hooks.acme.example/…"
    assert changed[0]["actor"] == f"token {token.split('_')[2]}"
    assert changed[0]["address"] == CALLER
    assert "s3cret" not in shown.body.decode()
    assert "T0KEN" not in shown.body.decode()
