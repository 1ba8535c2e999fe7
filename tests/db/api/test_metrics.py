"""/metrics: what an operator's monitoring reads."""

from tests.db.api.operators import READ, operator
from tests.support.application import Platform


async def test_requests_are_counted_by_route_and_status(platform: Platform) -> None:
    reader = await operator(platform, READ)
    for method in ("GET", "GET", "BREW"):
        await platform.call(method, "/healthz")
    answer = await platform.call("GET", "/metrics", token=reader.token)
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['proof_requests_total{method="GET",path="/healthz",status="200"}']) >= 2
    assert float(lines['proof_requests_total{method="other",path="/healthz",status="405"}']) >= 1
    assert "BREW" not in text
    assert any(line.startswith("proof_unauthenticated_requests_total") for line in lines)
