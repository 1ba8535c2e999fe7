"""Tokens, allowlists, rates and refusals as an operator and a partner meet them, over two processes."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.served import Server, served

from proof.partners.access.rates import DEFAULT_RATES

WITHIN_S = 1.0
# What the machine may be late by while it runs other things.
SLACK_S = 60.0
ENV = ("--env", "production")
API_KEY = (*ENV, "--kind", "api_key")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served({"PROOF_PROCESSES": "2"}) as running:
        yield running


def called(server: Server, token: str, path: str = "/events") -> tuple[int, Any]:
    """Status and headers; each call is a connection of its own, so the processes take turns."""
    request = urllib.request.Request(server.url + path, headers={"x-api-key": token})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


def whoami(server: Server, token: str) -> Any:
    request = urllib.request.Request(server.url + "/whoami", headers={"x-api-key": token})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def done(server: Server, *arguments: str) -> Any:
    """What a command printed: JSON when asked for."""
    result = server.run(*arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def require_soon(check: Callable[[], bool], times: int = 8) -> None:
    """True within the second the operator is promised, and then in both processes: none goes by what it
    read more than a second ago, however long it was not scheduled."""
    deadline = time.monotonic() + WITHIN_S + SLACK_S
    while not check():
        assert time.monotonic() < deadline
    time.sleep(WITHIN_S)
    assert [check() for _ in range(times)] == [True] * times


def test_rotation_from_issue_to_revocation(server: Server) -> None:
    partner = server.add_partner(name="Rotates")
    identity, old = partner["partner_id"], partner["production"]["api_key"]
    assert called(server, old)[0] == 200
    issued = done(server, "token", "rotate", identity, *API_KEY, "--grace", "1h", "--json")
    require_soon(lambda: "sunset" in called(server, old)[1])
    before = called(server, old)[1]["sunset"]
    assert called(server, issued["token"])[0] == 200
    require_soon(lambda: called(server, old)[1]["sunset"] != before)
    rows = {row["key_id"]: row for row in done(server, "token", "list", identity, "--json")}
    assert rows[issued["key_id"]]["state"] == "active"
    ending = rows[next(iter(issued["ending"]))]
    assert (ending["state"], ending["last_address"]) == ("expiring", "127.0.0.1")
    assert "expiring" in done(server, "token", "list", identity)
    done(server, "token", "revoke", issued["key_id"])
    require_soon(lambda: called(server, issued["token"])[0] == 401)
    assert called(server, old)[0] == 200
    again = server.run("token", "rotate", identity, *API_KEY, "--grace", "0")
    assert again.returncode == 0
    assert "shown this once" in again.stdout
    require_soon(lambda: called(server, old)[0] == 401)


def test_a_refused_caller_is_found_and_let_in(server: Server) -> None:
    partner = server.add_partner(name="Refused", timestamps_ip=["192.0.2.0/24"])
    identity, token = partner["partner_id"], partner["production"]["api_key"]
    assert called(server, token)[0] == 403
    told = whoami(server, token)
    assert (told["partner_id"], told["address"], told["allowed"]) == (identity, "127.0.0.1", False)
    found: list[Any] = []

    def listed() -> bool:
        found[:] = done(server, "refusals", "--partner", identity, "--json")
        return bool(found)

    require_soon(listed, times=1)
    (row,) = found
    assert (row["address"], row["reason"], row["count"]) == ("127.0.0.1", "ip_not_allowed", 1)
    hint = row["hint"]
    assert hint == (f"proof allowlist add {identity} 127.0.0.1 --env production --kind api_key")
    assert hint in done(server, "refusals", "--since", "1h")
    done(server, *hint.split()[1:])
    require_soon(lambda: called(server, token)[0] == 200)
    assert whoami(server, token)["allowed"] is True
    done(server, "allowlist", "remove", identity, "127.0.0.1", *API_KEY)
    require_soon(lambda: called(server, token)[0] == 403)
    done(server, "allowlist", "mode", identity, "report", *API_KEY)
    require_soon(lambda: called(server, token)[0] == 200)
    shown = done(server, "allowlist", "show", identity, *API_KEY, "--json")
    assert (shown["mode"], shown["networks"]) == ("report", ["192.0.2.0/24"])


def test_a_rate_holds_over_both_processes(server: Server) -> None:
    partner = server.add_partner(name="Fast")
    identity, token = partner["partner_id"], partner["production"]["api_key"]
    limit = ("--class", "read", "--calls", "40", "--per", "24h")
    assert "40 calls in 86400 s" in done(server, "rate", "set", identity, *ENV, *limit)
    deadline = time.monotonic() + WITHIN_S + SLACK_S

    def counted() -> tuple[int, Any]:
        # A process that has not run since the rate was set may still answer by what it knew.
        while True:
            status, headers = called(server, token)
            if headers["ratelimit-policy"] == '"read";q=40;w=86400':
                return status, headers
            assert time.monotonic() < deadline

    let_in, refused = 0, 0
    # One process refuses while the other holds the last tokens, until it uses them up or gives them back.
    while refused < 20:
        status, headers = counted()
        let_in += status == 200
        refused = 0 if status == 200 else refused + 1
        if status != 200:
            assert (status, 1800 < int(headers["retry-after"]) <= 2160) == (429, True)
    # What a process held and did not spend within a second is lost: how much is the machine's to say.
    assert 0 < let_in <= 40
    shown = done(server, "rate", "show", identity, "--json")
    by_default = {str(call_class): rate._asdict() for call_class, rate in DEFAULT_RATES.items()}
    assert shown == {
        "production": {**by_default, "read": {"calls": 40, "window_s": 86400, "burst": 40}},
        "sandbox": by_default,
    }
    done(server, "rate", "set", identity, *ENV, "--class", "read", "--calls", "default")
    require_soon(lambda: called(server, token)[0] == 200)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("token", "rotate", "ptr_x", *API_KEY), "there is no partner 'ptr_x'"),
        (
            ("token", "rotate", "ptr_x", *API_KEY, "--grace", "soon"),
            "--grace: 'soon' is not a time",
        ),
        (("token", "revoke", "0" * 13), "there is no token with key id"),
        (("token", "revoke", "proof_live_x"), "that is no key id"),
        (("token", "list", "ptr_x"), "there is no partner 'ptr_x'"),
        (("allowlist", "add", "ptr_x", "10.0.0.1/8", *API_KEY), "the network is 10.0.0.0/8"),
        (("allowlist", "add", "ptr_x", "0.0.0.0/0", *API_KEY), "use --force if it is meant"),
        (("rate", "set", "ptr_x", *ENV, "--class", "read", "--calls", "many"), "--calls: 'many'"),
        (("refusals", "--since", "0x"), "--since: '0x' is not a time"),
        (("refusals", "--partner", "ptr_none"), "there is no partner 'ptr_none'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:2]),
)
def test_a_wrong_command_says_what_is_wrong(
    server: Server, arguments: tuple[str, ...], said: str
) -> None:
    result = server.run(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_no_token_is_in_logs_answers_titles_or_the_database(server: Server) -> None:
    partner = server.add_partner(name="Secret", timestamps_ip=["192.0.2.0/24"])
    identity, item = partner["partner_id"], partner["production"]
    new = done(server, "token", "rotate", identity, *API_KEY, "--json")["token"]
    said = []
    for token in (item["api_key"], item["client_token"], new, new[:-1] + "_", "x" + new):
        for path in ("/v1/api-key/usage", "/whoami", "/nowhere", "/v1/proof/short"):
            request = urllib.request.Request(server.url + path, headers={"x-api-key": token})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    said.append(f"{answer.headers}{answer.read().decode()}")
            except urllib.error.HTTPError as error:
                with error:
                    said.append(f"{error.headers}{error.read().decode()}")
    listed = [
        server.run("token", "list", identity).stdout,
        server.run("token", "revoke", new).stderr,
        server.run("refusals", "--json").stdout,
        server.run("audit", "export").stdout,
    ]
    titles = [
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    ]
    seen = "".join([server.log(), *said, *titles, *listed])
    secrets = [token.split("_")[3] for token in (item["api_key"], item["client_token"], new)]
    assert not [secret for secret in secrets if secret in seen]
