"""Random input at every route: never our fault, always our words."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.db.api.table import OPERATIONS, TABLE, WITH_BODY, WITH_CREDENTIAL, Stamped, unhurried
from tests.support.application import Platform
from tests.support.partners import issued

Run = Callable[[Any], Any]

TEXT = st.text(max_size=70)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def near(right: Any) -> st.SearchStrategy[Any]:
    """Values shaped like a right one, with anything in any place."""
    if isinstance(right, dict):
        members = {name: near(value) for name, value in right.items()}
        return st.fixed_dictionaries({}, optional=members) | VALUES
    if isinstance(right, list):
        return st.lists(near(right[0]), max_size=3) | VALUES
    return st.just(right) | VALUES


def bodies(name: str) -> st.SearchStrategy[bytes]:
    entry = TABLE[name].body
    assert entry is not None
    shaped = near(entry(Stamped("ab" * 32, "6f1c1a4e-0f0b-4a39-9f6e-2f6f9f1c1a4e")))
    encoded = shaped.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    cut = st.tuples(encoded, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
    return encoded | cut | st.binary(max_size=200)


@pytest.mark.parametrize("name", WITH_BODY)
def test_random_bodies(run: Run, platform: Platform, name: str) -> None:
    token = run(unhurried(platform, name))
    method, path = name.split()

    @QUICK
    @given(bodies(name), st.booleans())
    def check(body: bytes, whole: bool) -> None:
        chunks = None if whole else [body[:7], body[7:]]
        answer = run(platform.call(method, path, body, token=token, chunks=chunks))
        assert answer.status in {200, 202, 400, 404, 425}, (body, answer)
        if answer.status >= 400:
            assert answer.message

    check()


PLACES = [
    "/v1/timestamp/{}",
    "/v1/tree/{}",
    "/v1/proof/{}",
    "/v1/proof/{}?currencyId={}&format={}",
    "/log/tile/{}/{}",
    "/log/tile/entries/{}",
    "/log/consistency/{}/{}",
    "/{}",
    "/sandbox/{}",
    "/v1/{}/{}",
]
SEGMENTS = (
    TEXT
    | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1"))
    | st.from_regex(r"[0-9xpa-f./+-]{0,70}", fullmatch=True)
)


def test_random_paths(run: Run, platform: Platform) -> None:
    token = issued(run(platform.onboard())).api_key

    @settings(QUICK, max_examples=300)
    @given(st.sampled_from(PLACES), st.lists(SEGMENTS, min_size=3, max_size=3), st.booleans())
    def check(place: str, segments: list[str], escaped: bool) -> None:
        safe = "" if escaped else "/.:?&=+%"
        parts = [quote(segment.encode("utf-8", "replace"), safe=safe) for segment in segments]
        answer = run(platform.call("GET", place.format(*parts), token=token))
        assert answer.status in {200, 400, 404, 405}, (place, segments, answer)
        if answer.status >= 400:
            assert answer.message

    check()


@pytest.mark.parametrize("name", WITH_CREDENTIAL)
def test_random_credentials(run: Run, platform: Platform, name: str) -> None:
    target = TABLE[name].target(Stamped("ab" * 32, "x"))
    odd = st.text(st.characters(max_codepoint=255), max_size=90)
    names = st.sampled_from(["x-api-key", "authorization", "x-forwarded-for", "content-length"])

    @settings(QUICK, max_examples=30)
    @given(st.lists(st.tuples(names, odd | odd.map("Bearer {}".format)), max_size=4))
    def check(headers: list[tuple[str, str]]) -> None:
        answer = run(platform.call(OPERATIONS[name].method, target, headers=headers))
        assert (answer.status, answer.read) == (401, 0), answer

    check()
