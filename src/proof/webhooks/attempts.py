"""One attempt: sign, send, and say what came of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import structlog
from msgspec import Struct

from proof.core.clock import Clock
from proof.outbound import InvalidTargetError, OutboundError, OutboundReply, on_behalf_of
from proof.webhooks.rings import Ring
from proof.webhooks.schedule import retry_after_s
from proof.webhooks.signing import attempt_headers
from proof.webhooks.types import ClaimedDelivery

# Enough to read what a receiver complained of; the rest would only fill the table.
KEPT_BODY_BYTES = 2048

_GONE = 410

_log = structlog.get_logger(__name__)


class Client(Protocol):
    """What sends an attempt; `OutboundClient`, or a fake with faults."""

    timeout_s: float

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutboundReply:
        """See `OutboundClient.post`."""
        ...


class Result(Struct, frozen=True):
    """What an attempt came to. `text` is the status or a short reason.

    `ours`: the fault is not the receiver's. `body` is the beginning of the reply, capped. No part of
    the request is kept.
    """

    made_at: datetime
    text: str
    delivered: bool = False
    gone: bool = False
    ours: bool = False
    status: int | None = None
    body: bytes | None = None
    elapsed_ms: int | None = None
    retry_after_s: float = 0


async def attempt(client: Client, clock: Clock, delivery: ClaimedDelivery, ring: Ring) -> Result:
    """Send a delivery once. Raises nothing: a fault of ours is a result as well."""
    made_at = clock.now()
    if not ring.secrets:
        return Result(made_at, "no webhook secret", ours=True)
    if delivery.ed25519 and not ring.keys:
        return Result(made_at, "no webhook signing key", ours=True)
    try:
        headers = _headers(delivery, ring, int(made_at.timestamp()))
        with on_behalf_of(delivery.partner_environment_id):
            reply = await client.post(delivery.url, delivery.body, headers)
    except OutboundError as error:
        return Result(made_at, error.reason)
    except InvalidTargetError:
        return Result(made_at, "refused target")
    except Exception:  # noqa: BLE001 - a fault of ours in one attempt ends no other; it is logged
        _log.exception("webhook attempt broke", delivery_id=delivery.id)
        return Result(made_at, "internal error", ours=True)
    return _result(made_at, reply)


def _result(made_at: datetime, reply: OutboundReply) -> Result:
    return Result(
        made_at,
        str(reply.status),
        delivered=200 <= reply.status < 300,
        gone=reply.status == _GONE,
        status=reply.status,
        body=reply.body[:KEPT_BODY_BYTES] or None,
        elapsed_ms=round(reply.elapsed_s * 1000),
        retry_after_s=retry_after_s(reply.retry_after, made_at) if reply.retry_after else 0,
    )


def _headers(delivery: ClaimedDelivery, ring: Ring, now_s: int) -> dict[str, str]:
    keys = ring.keys if delivery.ed25519 else ()
    about = delivery.event_id, delivery.sequence
    return attempt_headers(*about, now_s, delivery.body, ring.secrets, keys)
