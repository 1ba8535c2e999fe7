"""Endpoints, and the deliveries that events become."""

from collections.abc import Sequence
from uuid import uuid4

from proof.db import Connection
from proof.events import RelayedEvent
from proof.outbound import OutboundPolicy
from proof.webhooks import queries


async def set_endpoint(
    tx: Connection, policy: OutboundPolicy, partner_environment_id: int, purpose: str, url: str
) -> None:
    """Send events of the type `purpose` to `url`; an empty `url` sends them nowhere.

    Only one URL for each purpose. Pending deliveries follow a changed URL and fail when it is
    removed. Raises InvalidTargetError for a URL the policy refuses; whether it answers is not
    checked.
    """
    if url == "":
        await queries.remove_endpoint(tx, partner_environment_id, purpose)
        return
    policy.check_url(url)
    await queries.put_endpoint(tx, uuid4(), partner_environment_id, purpose, url)


async def endpoints(connection: Connection, partner_environment_id: int) -> dict[str, str]:
    """The URL of each purpose that has one."""
    return await queries.select_endpoints(connection, partner_environment_id)


async def fan_out(tx: Connection, relayed: Sequence[RelayedEvent]) -> int:
    """Give each event one delivery for each endpoint of its type, due at once; says how many.

    Run in the transaction that relays the events, so that an event with a cursor has its
    deliveries.
    """
    return await queries.insert_deliveries(tx, relayed) if relayed else 0
