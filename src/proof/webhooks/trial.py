"""One signed attempt at once, outside the deliveries: for trying out a receiver."""

from collections.abc import Sequence
from uuid import uuid4

from proof.core.clock import Clock
from proof.outbound import OutboundClient, OutboundError, OutboundPolicy
from proof.webhooks.signing import webhook_headers, x_signature


async def post_once(
    client: OutboundClient,
    policy: OutboundPolicy,
    clock: Clock,
    secrets: Sequence[bytes],
    url: str,
    body: bytes,
) -> str:
    """Post `body` as a webhook of the timestamp API; answers the outcome in a few words.

    Raises InvalidTargetError for a URL the policy refuses. A receiver that fails is an outcome.
    """
    policy.check_url(url)
    headers = webhook_headers(uuid4(), int(clock.now().timestamp()), body, secrets)
    headers |= {"content-type": "application/json", "x-signature": x_signature(secrets[0], body)}
    try:
        reply = await client.post(url, body, headers)
    except OutboundError as error:
        return f"not delivered: {error.reason}"
    return f"answered {reply.status}"
