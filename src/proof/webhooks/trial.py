"""One signed attempt at once, outside the deliveries: for trying out a receiver."""

from collections.abc import Sequence
from uuid import uuid4

from proof.core.clock import Clock
from proof.outbound import OutboundClient, OutboundError, OutboundPolicy
from proof.webhooks.signing import attempt_headers


async def post_once(
    client: OutboundClient,
    policy: OutboundPolicy,
    clock: Clock,
    secrets: Sequence[bytes],
    url: str,
    body: bytes,
) -> str:
    """Post `body` as the first webhook of an object; answers the outcome in a few words.

    Raises InvalidTargetError for a URL the policy refuses. A receiver that fails is an outcome.
    """
    policy.check_url(url)
    headers = attempt_headers(uuid4(), 1, int(clock.now().timestamp()), body, secrets)
    try:
        reply = await client.post(url, body, headers)
    except OutboundError as error:
        return f"not delivered: {error.reason}"
    return f"answered {reply.status}"
