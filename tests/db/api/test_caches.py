"""What one partner is answered, a cache between us gives to nobody else."""

from tests.db.api.table import OPERATIONS, OPERATOR_OPERATIONS, PREFIX, RAMP_OPERATIONS
from tests.support.application import Platform
from tests.support.partners import issued

from proof.partners.types import Environment

PATHS = {"environment": "production", "kind": "api_key", "sha256": "ab" * 32}


async def test_what_a_credential_opens_is_kept_by_no_cache(platform: Platform) -> None:
    partner = await platform.onboard("Cached")
    token = issued(partner, Environment.PRODUCTION).api_key
    everything = OPERATIONS | RAMP_OPERATIONS | OPERATOR_OPERATIONS
    for operation in everything.values():
        if not operation.gated or operation.method != "GET":
            continue
        path = operation.path.replace(":path", "")
        prefix = PREFIX[operation.family.environments[0]]
        for method in ("GET", "HEAD"):
            for key in (None, token):
                target = prefix + path.format_map(_Some())
                answer = await platform.call(method, target, token=key)
                assert answer.headers["cache-control"] == "no-store", operation.path
    for target in ("/whoami", "/events"):
        answer = await platform.call("GET", target, token=token)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")


async def test_what_is_for_everybody_may_be_kept(platform: Platform) -> None:
    for target, cache in (("/openapi.json", "public, max-age=300"), ("/healthz", None)):
        answer = await platform.call("GET", target)
        assert answer.status == 200
        assert answer.headers.get("cache-control") == cache


async def test_no_refusal_is_kept(platform: Platform) -> None:
    for target in ("/nothing", "/log/tile/0/999", "/tsa", "/w/none/x", "/timestamp/00"):
        answer = await platform.call("GET", target)
        assert answer.status in {404, 405}
        assert answer.headers["cache-control"] == "no-store", target


class _Some(dict[str, str]):
    """A value for whichever parameter a path has."""

    def __missing__(self, name: str) -> str:
        return PATHS.get(name, "x")
