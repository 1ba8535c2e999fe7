"""Bad input on every route that takes a body: a 4xx that says what is wrong, and nothing stored."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.db.api.ramp_table import RAMP_TABLE, Made
from tests.db.api.table import (
    OPERATIONS,
    OPERATOR_OPERATIONS,
    RAMP_OPERATIONS,
    TABLE,
    WITH_BODY,
    Stamped,
    unhurried,
)
from tests.db.api.test_operator import TABLE as OPERATOR_TABLE
from tests.support.application import Answer, Platform
from tests.support.partners import issued

from proof.api.endpoint import decode
from proof.core.errors import InvalidInputError

GOOD = "ab" * 32
UUID = "6f1c1a4e-0f0b-4a39-9f6e-2f6f9f1c1a4e"
SOME = Stamped(GOOD, UUID)
DEEP = 100_000
NO_HASH = ["a" * 63, "a" * 65, "g" * 64, "", "a" * 63 + "\x00", " " * 64, "٣" * 64, "0x" + "a" * 62]
NO_TEXT: list[Any] = [None, 1, 1.5, True, {}, [], ["x"]]
NO_INTEGER: list[Any] = [None, "900", 1.5, True, {}, [900], 10**400]
NO_TARGET = [
    "ftp://a.example/",
    "http://a.example/",
    "https://",
    "x",
    "https://a\x00b/",
    "https://ü/",
]
NO_TARGET += ["https://10.0.0.1/", "https://a.example:22/", "https://u@a.example/", "/etc/passwd"]

# Where in a right body, the wrong values there, and what the message must hold.
Spoilt = tuple[tuple[str, ...], list[Any], str]
WRONG: dict[str, list[Spoilt]] = {
    "POST /v1/timestamp": [
        (("sha256",), [None, 1, GOOD, {}, True], "sha256"),
        (("sha256",), [[], [GOOD] * 10_001], "sha256: 1 to 10000"),
        (("sha256",), [[GOOD, bad] for bad in NO_HASH], "sha256[1]"),
        (("sha256",), [[GOOD, bad] for bad in NO_TEXT], "sha256[1]"),
        (("sha256",), [[GOOD] * 9_999 + ["zz" * 32]], "sha256[9999]"),
    ],
    "POST /v1/tree/status": [
        (("treeId",), NO_TEXT, "treeId"),
        (("treeId",), ["", "x", UUID + "0", UUID[:-1], UUID[:-1] + "g", "\x00" * 36], "treeId"),
    ],
    "POST /v1/proof": [
        (("sha256",), NO_TEXT + NO_HASH, "sha256"),
        (("currencyId",), NO_INTEGER, "currencyId"),
        (("currencyId",), [0, 1, -1, 899, 2**63, 10**30], "enabled: 900 (LOG)"),
    ],
    "PATCH /v1/api-key/setting": [
        (("notification",), [None, 1, "x", [], True], "notification"),
        (("notification", "proof"), [None, 1, "x", [], True], "notification.proof"),
        (("notification", "tree"), [None, 1, "x", [], True], "notification.tree"),
        (("notification", "proof", "target"), NO_TEXT, "notification.proof.target"),
        (("notification", "tree", "target"), NO_TEXT, "notification.tree.target"),
        (("notification", "proof", "target"), NO_TARGET, "the target URL"),
        (("notification", "tree", "target"), NO_TARGET, "the target URL"),
        (("notification", "tree", "currencyIds"), [None, 1, "x", {}], "tree.currencyIds"),
        (("notification", "tree", "currencyIds"), [[item] for item in NO_INTEGER], "currencyId"),
        (("notification", "tree", "currencyIds"), [[0], [900, 7]], "enabled: 900 (LOG)"),
        (("notification", "other"), [{}], "other"),
        (("notification", "proof", "other"), [""], "other"),
        (("notification", "tree", "other"), [""], "other"),
    ],
    "POST /v1/api-key/usage": [
        (("year",), [*NO_INTEGER, 0, -1, 1969, 10_000, 2**63], "year"),
        (("month",), [*NO_INTEGER[1:], 0, 13, -1, 2**63], "month"),
    ],
    "POST /v1/webhook/proof/example": [
        (("target",), NO_TEXT, "target"),
        (("target",), [*NO_TARGET, ""], "the target URL"),
    ],
    "POST /v1/webhook/tree/example": [
        (("target",), NO_TEXT, "target"),
        (("target",), [*NO_TARGET, ""], "the target URL"),
    ],
}

NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "a word": b"hello",
    "form": b"sha256=" + GOOD.encode(),
    "XML": b"<?xml version='1.0'?>",
    "cut off": b'{"sha256": ["',
    "two values": b"{}{}",
    "trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "NaN": b'{"currencyId": NaN}',
    "NUL": b"\x00",
    "NUL in the middle": b'{"sha256":\x00[]}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": json.dumps({"year": 2026}).encode("utf-16"),
    "invalid UTF-8": b'{"\xff\xfe": "\xff"}',
    "lone surrogate": b'{"\\ud800": "\\udfff"}',
    "raw control character": b'{"a": "\n"}',
    "null": b"null",
    "a number": b"1",
    "a huge number": b"9" * 10_000,
    "a text": b'"text"',
    "an array": b"[]",
    "true": b"true",
    "deep arrays": b"[" * DEEP,
    "closed deep arrays": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000,
}


def spoilt(name: str) -> Iterator[tuple[bytes, str]]:
    """Bodies one step from a right one, and what the refusal must name."""
    entry = TABLE[name].body
    assert entry is not None
    right = entry(SOME)
    yield json.dumps(right | {"extra": 1}).encode(), "extra"
    yield json.dumps({**right, "__proto__": {}}).encode(), "__proto__"
    for path, values, expected in WRONG[name]:
        for value in values:
            body = copy.deepcopy(right)
            owner = body
            for step in path[:-1]:
                owner = owner[step]
            owner[path[-1]] = value
            yield json.dumps(body).encode(), expected
    for field in [] if name.startswith("PATCH") else sorted(right.keys() - {"month"}):
        missing = {key: value for key, value in right.items() if key != field}
        yield json.dumps(missing).encode(), field


def test_every_route_with_a_body_is_in_the_table() -> None:
    assert WRONG.keys() == set(WITH_BODY)
    assert {OPERATIONS[name].method for name in WITH_BODY} == {"POST", "PATCH"}


async def caller(platform: Platform) -> str:
    return issued(await platform.onboard()).api_key


async def require_refused(
    platform: Platform, name: str, bodies: Iterator[tuple[bytes, str]]
) -> None:
    token, before = await unhurried(platform, name), await platform.counts()
    used = await platform.fetch("SELECT sum(used) FROM timestamp_usage WHERE kind = 'timestamps'")
    method, path = name.split()
    for body, expected in bodies:
        answer = await platform.call(method, path, body, token=token)
        assert answer.status == 400 + 13 * (len(body) > OPERATIONS[name].family.body_limit), (
            body[:200],
            answer,
        )
        if answer.status == 400:
            assert expected in answer.message, (body[:200], answer)
        assert len(answer.message) < 500
        assert answer.headers["x-request-id"].startswith("req_")
    assert await platform.counts() == before
    assert used == await platform.fetch(
        "SELECT sum(used) FROM timestamp_usage WHERE kind = 'timestamps'"
    )


@pytest.mark.parametrize("name", WITH_BODY)
async def test_fields_that_are_wrong_are_named(platform: Platform, name: str) -> None:
    await require_refused(platform, name, spoilt(name))


@pytest.mark.parametrize("name", WITH_BODY)
async def test_what_is_no_json_object_is_refused(platform: Platform, name: str) -> None:
    await require_refused(platform, name, ((raw, "body:") for raw in NO_JSON.values()))


def repeated(value: Any) -> Iterator[str]:
    """JSON texts of a value in which one object has its first member twice: once for each object."""
    if isinstance(value, dict) and value:
        name, first = next(iter(value.items()))
        rest = json.dumps(value)[1:]
        yield f"{{{json.dumps(name)}:{json.dumps(first)},{rest}"
        yield f'{{"\\u{ord(name[0]):04x}{name[1:]}":{json.dumps(first)},{rest}'
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, dict | list):
            for text in repeated(child):
                copied = copy.deepcopy(value)
                copied[key] = "here"
                yield json.dumps(copied).replace('"here"', text)


# Right without any member.
EMPTY = {"POST /operator/v1/partners/{partner_id}/{environment}/webhooks/secrets"}
BODIES = {
    **{name: entry.body(SOME) for name, entry in TABLE.items() if name in WITH_BODY and entry.body},
    **{name: entry.body(Made(UUID)) for name, entry in RAMP_TABLE.items() if entry.body},
    **{name: entry.body for name, entry in OPERATOR_TABLE.items() if entry.body is not None},
    "POST /w/api/open": {
        "widget_id": "x",
        "merchant_transaction_id": UUID,
        "init_token": "x",
        "signature": "x",
        "options": {"lang": "en", "deeper": [{"a": 1}]},
    },
    "POST /w/api/quote": {"fiat_currency": "EUR"},
    "POST /w/api/kyc": {"document": "passport", "liveness": True},
    "POST /w/api/pay": {"attempt_id": UUID, "method": "card"},
    "POST /w/api/challenge": {"attempt_id": UUID, "passed": True},
    "POST /r/api/receipt": {"merchant_transaction_id": UUID, "token": "x"},
}
EVERY = OPERATIONS | RAMP_OPERATIONS | OPERATOR_OPERATIONS


def test_every_body_with_a_member_is_tried_with_it_twice() -> None:
    with_members = {
        name
        for name, item in EVERY.items()
        if item.body is not None and msgspec.structs.fields(item.body)
    }
    assert {name for name, body in BODIES.items() if body} | EMPTY == with_members


@pytest.mark.parametrize("name", sorted(BODIES.keys() - EMPTY))
def test_a_member_that_is_there_twice_is_refused_at_any_depth(name: str) -> None:
    body = EVERY[name].body
    assert body is not None
    decoder = msgspec.json.Decoder(body)
    texts = list(repeated(BODIES[name]))
    assert texts
    for text in texts:
        with pytest.raises(InvalidInputError, match=r"^body: the member .* is there twice$"):
            decode(decoder, text.encode())


async def test_a_repeated_member_changes_nothing(platform: Platform) -> None:
    texts = [f'{{"sha256":["{GOOD}"],"sha256":[]}}', f'{{"sha256":[],"sha256":["{GOOD}"]}}']
    bodies = ((text.encode(), "body: the member 'sha256' is there twice") for text in texts)
    await require_refused(platform, "POST /v1/timestamp", bodies)


@pytest.mark.parametrize("name", WITH_BODY)
async def test_a_body_over_the_limit_is_refused_unread(platform: Platform, name: str) -> None:
    token, before = await caller(platform), await platform.counts()
    limit = OPERATIONS[name].family.body_limit
    method, path = name.split()

    async def sent(**how: Any) -> Answer:
        answer = await platform.call(method, path, token=token, **how)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert str(limit) in answer.message
        return answer

    for announced in (limit + 1, 10**12, 10**40, int("9" * 4000)):
        assert (await sent(body=b"{}", announced=announced)).read == 0
    # Without a length: refused as soon as it is over, however much is still to come.
    chunk = b" " * 16_384
    answer = await sent(chunks=[chunk] * 10_000)
    assert answer.read <= limit // len(chunk) + 2
    assert (await sent(chunks=[b" " * (limit + 1)])).read == 1
    assert await platform.counts() == before


async def test_the_largest_request_fits_its_limit(platform: Platform) -> None:
    body = {"sha256": [f"{n:064x}" for n in range(10_000)]}
    answer = await platform.call("POST", "/v1/timestamp", body, token=await caller(platform))
    assert answer.status == 200
    assert answer.json["sha256"] == body["sha256"]


BAD_PATHS: dict[str, tuple[int, str]] = {
    **{f"/v1/{kind}/{bad}": (400, "sha256") for kind in ("timestamp", "proof")
       for bad in ("a" * 63, "a" * 65, "g" * 64, "%00", "%F0%9F%98%80", "%D9%A3" * 64, "%0A" + "a" * 64)},
    f"/v1/timestamp/{GOOD}": (404, GOOD),
    f"/v1/proof/{GOOD}": (404, GOOD),
    "/v1/tree/x": (400, "treeId"),
    "/v1/tree/%00": (400, "treeId"),
    f"/v1/tree/{UUID}0": (400, "treeId"),
    f"/v1/tree/{UUID}": (404, UUID),
    f"/v1/proof/{GOOD}?currencyId=0": (400, "enabled: 900 (LOG)"),
    f"/v1/proof/{GOOD}?currencyId=": (400, "currencyId"),
    f"/v1/proof/{GOOD}?currencyId=-1": (400, "currencyId"),
    f"/v1/proof/{GOOD}?currencyId=900.0": (400, "currencyId"),
    f"/v1/proof/{GOOD}?currencyId=%D9%A3": (400, "currencyId"),
    f"/v1/proof/{GOOD}?currencyId={'9' * 5000}": (400, "currencyId"),
    f"/v1/proof/{GOOD}?format=xml": (400, "format"),
    f"/v1/proof/{GOOD}?{'&'.join(['a=1'] * 30)}": (400, "query"),
    f"/v1/proof/{GOOD}?currencyId=\xff": (400, "query"),
    "/log/tile/6/000": (404, "level"),
    "/log/tile/-1/000": (404, "level"),
    "/log/tile/%C2%B2/000": (404, "level"),
    f"/log/tile/{'1' * 5000}/000": (404, "level"),
    "/log/tile/0/0": (404, "position"),
    "/log/tile/0/1000": (404, "position"),
    "/log/tile/0/000.p/0": (404, "position"),
    "/log/tile/0/000.p/256": (404, "position"),
    "/log/tile/0/000.p/01": (404, "position"),
    "/log/tile/0/x000/": (404, "position"),
    "/log/tile/0/999": (404, "not complete"),
    "/log/tile/0/" + "x999/" * 5 + "999": (404, "not complete"),
    "/log/tile/0/" + "x999/" * 6 + "999": (404, "position"),
    "/log/tile/5/000": (404, "not complete"),
    "/log/tile/entries/%D9%A3%D9%A3%D9%A3": (404, "position"),
    "/log/tile/entries/999": (404, "not complete"),
    "/log/consistency/0/1": (404, "sizes"),
    "/log/consistency/2/1": (404, "sizes"),
    f"/log/consistency/1/{10**17}": (404, "sizes"),
    "/log/consistency/a/1": (400, "sizes"),
    "/log/consistency/1/-1": (400, "sizes"),
    f"/log/consistency/1/{'9' * 5000}": (400, "sizes"),
    "/log/consistency/%C2%B2/1": (400, "sizes"),
    "/nothing/here": (404, "/nothing/here"),
    "/v1/timestamp/a/b": (404, "/v1/timestamp/a/b"),
    "/v1/timestamp/": (404, "/v1/timestamp/"),
    "/v1/../healthz": (404, "nothing"),
    "/%00": (404, "nothing"),
    "/sandbox/healthz": (404, "nothing"),
}  # fmt: skip


async def test_paths_and_queries_that_are_wrong(platform: Platform) -> None:
    token, before = await caller(platform), await platform.counts()
    for target, (status, expected) in BAD_PATHS.items():
        answer = await platform.call("GET", target, token=token)
        assert answer.status == status, (target[:200], answer)
        assert expected in answer.message, (target[:200], answer)
        assert len(answer.body) < 6000
    assert await platform.counts() == before


async def test_a_wrong_method_is_told_which_are_right(platform: Platform) -> None:
    by_path: dict[str, set[str]] = {}
    for name in OPERATIONS:
        by_path.setdefault(TABLE[name].target(SOME), set()).add(name.split()[0])
    token = await caller(platform)
    for target, allowed in by_path.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} - allowed:
            answer = await platform.call(method, target, {}, token=token)
            assert answer.status == 405, (method, target, answer)
            assert set(answer.headers["allow"].split(", ")) == allowed
            assert method in answer.body.decode()


async def test_upper_case_hashes_and_repeats_are_accepted(platform: Platform) -> None:
    token = await caller(platform)
    body = {"sha256": ["AB" * 32, "ab" * 32, "aB" * 32, "cd" * 32]}
    answer = await platform.call("POST", "/v1/timestamp", body, token=token)
    assert answer.status == 200
    assert answer.json["sha256"] == ["ab" * 32, "cd" * 32]
    assert "existing" not in answer.json
    status = await platform.call("GET", f"/v1/timestamp/{'AB' * 32}", token=token)
    assert status.status == 200


async def test_of_a_request_with_one_bad_entry_nothing_is_stored(platform: Platform) -> None:
    token = await caller(platform)
    body = {"sha256": ["11" * 32, "x"]}
    assert (await platform.call("POST", "/v1/timestamp", body, token=token)).status == 400
    answer = await platform.call("GET", f"/v1/timestamp/{'11' * 32}", token=token)
    assert answer.status == 404
