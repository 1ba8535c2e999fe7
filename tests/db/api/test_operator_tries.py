"""Who may not call what operators may, and what the log tells of it."""

from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs
from tests.db.api.operators import PARTNERS, gone, operator, refusal
from tests.support.application import CALLER, Platform, Stage

from proof.core.ids import checksum


async def each_refusal(platform: Platform) -> dict[str, tuple[str | None, str | None, str]]:
    """For each reason a token, the key id that the log names, and the code of the answer."""
    revoked, expired, elsewhere = (
        await gone(platform),
        await operator(platform),
        await operator(platform, networks=[ip_network("192.0.2.0/24")]),
    )
    await platform.fetch(
        "UPDATE operators SET expires_at = now() WHERE key_id = $1", expired.key_id
    )
    head = elsewhere.token.rpartition("_")[0]
    forged = head[:-1] + ("0" if head[-1] != "0" else "1")
    return {
        "missing_token": (None, None, "missing_token"),
        "malformed_token": ("secret", None, "invalid_token"),
        "unknown_token": (f"{forged}_{checksum(forged)}", elsewhere.key_id, "invalid_token"),
        "token_revoked": (revoked.token, revoked.key_id, "invalid_token"),
        "token_expired": (expired.token, expired.key_id, "invalid_token"),
        "ip_not_allowed": (elsewhere.token, elsewhere.key_id, "ip_not_allowed"),
    }


# No worker is alive here, so the status is 503.
@pytest.mark.parametrize(
    ("path", "status_inside"), [("/statusz", 503), ("/metrics", 200), (PARTNERS, 200)]
)
def test_each_refused_try_is_in_the_log_without_its_token(
    alone: Stage, path: str, status_inside: int
) -> None:
    platform = alone.platform

    async def scene() -> None:
        tries = await each_refusal(platform)
        for reason, (token, key_id, code) in tries.items():
            with capture_logs() as logs:
                answer = await platform.call("GET", path, token=token)
            assert refusal(answer) == (403 if code == "ip_not_allowed" else 401, code, 0)
            assert logs == [
                {
                    "event": "operator.refused",
                    "log_level": "warning",
                    "reason": reason,
                    "key_id": key_id,
                    "address": CALLER,
                    "request_id": answer.headers["x-request-id"],
                    "count": 1,
                }
            ]
        bound = tries["ip_not_allowed"][0]
        assert bound is not None
        inside = await platform.call("GET", path, token=bound, address="192.0.2.7")
        assert inside.status == status_inside
        with capture_logs() as logs:
            two = await platform.call(
                "GET", path, token=bound, headers=[("authorization", "Bearer other")]
            )
        assert refusal(two) == (401, "invalid_token", 0)
        assert [(log["reason"], log["key_id"]) for log in logs] == [("several_tokens", None)]

    alone.run(scene())
