"""Endpoints, and the deliveries that events become."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from proof.core.canonical import canonical_json
from proof.core.clock import Clock
from proof.core.errors import NotFoundError
from proof.core.secrets import Vault
from proof.db import Connection
from proof.events import Event, RelayedEvent, publish
from proof.outbound import OutboundClient, OutboundError, OutboundPolicy
from proof.webhooks import endpoint_queries, queries
from proof.webhooks.signing import attempt_headers, ensure_signing_key
from proof.webhooks.types import (
    SUBSCRIPTIONS,
    TEST_EVENT,
    Endpoint,
    Ordering,
    Subscription,
)


async def set_endpoint(
    tx: Connection, policy: OutboundPolicy, partner_environment_id: int, purpose: str, url: str
) -> None:
    """Send events of the type `purpose` to `url`; an empty `url` sends them nowhere.

    Only one URL for each purpose. Pending deliveries follow a changed URL; those of an endpoint that is
    removed are not sent, and a deliverer records them as failed. A breaker that was open or disabled is
    closed. Raises InvalidTargetError for a URL the policy refuses; whether it answers is not checked.
    """
    if url == "":
        await endpoint_queries.remove_endpoint(tx, partner_environment_id, purpose)
        return
    policy.check_url(url)
    await endpoint_queries.put_endpoint(tx, uuid4(), partner_environment_id, purpose, url)


async def endpoints(connection: Connection, partner_environment_id: int) -> dict[str, str]:
    """The URL of each purpose that has one."""
    found = await endpoint_queries.select_endpoints(connection, partner_environment_id, None)
    return {endpoint.purpose: endpoint.url for endpoint in found}


async def list_endpoints(
    connection: Connection, partner_environment_id: int | None = None
) -> list[Endpoint]:
    """Every endpoint not removed, of one partner environment or of all."""
    return await endpoint_queries.select_endpoints(connection, partner_environment_id, None)


async def endpoint(connection: Connection, endpoint_id: UUID) -> Endpoint:
    """One endpoint. Raises NotFoundError; whose it is, the caller checks."""
    found = await endpoint_queries.select_endpoints(connection, None, [endpoint_id])
    if not found:
        raise _unknown(endpoint_id)
    return found[0]


async def set_ordering(tx: Connection, endpoint_id: UUID, ordering: Ordering) -> None:
    """From the next event on, send an object's events one after the other, or as they come.

    Raises NotFoundError.
    """
    if not await endpoint_queries.set_ordering(tx, endpoint_id, ordering):
        raise _unknown(endpoint_id)


async def set_ed25519(tx: Connection, vault: Vault, endpoint_id: UUID, ed25519: bool) -> None:
    """Sign with the environment's Ed25519 key too (`v1a`), which is made if there is none.

    Raises NotFoundError.
    """
    owner = await endpoint_queries.set_ed25519(tx, endpoint_id, ed25519)
    if owner is None:
        raise _unknown(endpoint_id)
    if ed25519:
        await ensure_signing_key(tx, vault, owner)


async def set_events(tx: Connection, endpoint_id: UUID, events: Collection[Subscription]) -> None:
    """From the next event on, send the endpoint these alone. Raises NotFoundError."""
    if not await endpoint_queries.set_events(tx, endpoint_id, events):
        raise _unknown(endpoint_id)


async def subscribers(
    connection: Connection, partner_environment_ids: Sequence[int], subscription: Subscription
) -> set[int]:
    """Those of these partner environments whose endpoint asked for it."""
    return await endpoint_queries.subscribers(connection, partner_environment_ids, subscription)


async def enable_endpoint(tx: Connection, endpoint_id: UUID) -> None:
    """Call an endpoint again whose breaker is open or disabled; what is pending for it is due.

    Raises NotFoundError.
    """
    if not await endpoint_queries.close_breaker(tx, endpoint_id):
        raise _unknown(endpoint_id)


async def send_test_event(tx: Connection, endpoint_id: UUID) -> UUID:
    """Publish an event of the type `webhook.test` for one endpoint alone; its id.

    Delivered, tried again and recorded as any other. Raises NotFoundError.
    """
    found = await endpoint(tx, endpoint_id)
    event_id = uuid4()
    body = canonical_json({"id": str(event_id), "type": TEST_EVENT})
    owner = found.partner_environment_id
    await publish(tx, [Event(owner, TEST_EVENT, str(endpoint_id), body, id=event_id)])
    return event_id


async def fan_out(tx: Connection, relayed: Sequence[RelayedEvent]) -> int:
    """Give each event one delivery for each endpoint of its type, due at once; says how many.

    An endpoint's purpose is a type, or the first part of several: `transaction` gets
    `transaction.updated`, if it asked for that. An object's later events wait for the earlier ones where
    the endpoint asked for order. Run in the transaction that relays the events, so that an event with a
    cursor has its deliveries.
    """
    rows = [
        (each.event.id, each.cursor, to, each.event.subject if how == Ordering.SUBJECT else None)
        for each, to, how in await _targets(tx, relayed)
    ]
    if not rows:
        return 0
    await queries.insert_deliveries(tx, rows)
    if objects := [(to, subject) for _, _, to, subject in rows if subject is not None]:
        await queries.release(tx, objects, None)
    return len(rows)


async def _targets(
    tx: Connection, relayed: Sequence[RelayedEvent]
) -> list[tuple[RelayedEvent, UUID, str]]:
    """Of each event that goes to an endpoint: that endpoint, and its ordering."""
    if not relayed:
        return []
    pairs = {
        (each.event.partner_environment_id, purpose)
        for each in relayed
        for purpose in _purposes(each.event.type)
    }
    named = [UUID(each.event.subject) for each in relayed if each.event.type == TEST_EVENT]
    owners, purposes = [owner for owner, _ in pairs], [purpose for _, purpose in pairs]
    found = await queries.targets(tx, owners, purposes, named)
    by_purpose = {(owner, purpose): (to, how, asked) for to, owner, purpose, how, asked in found}
    by_id = {to: (to, how) for to, _, _, how, _ in found}

    def target(event: Event) -> tuple[UUID, str] | None:
        if event.type == TEST_EVENT:
            return by_id.get(UUID(event.subject))
        owner, (exact, family) = event.partner_environment_id, _purposes(event.type)
        endpoint = by_purpose.get((owner, exact)) or by_purpose.get((owner, family))
        needed = SUBSCRIPTIONS.get(event.type)
        if endpoint is None or (needed is not None and needed not in endpoint[2]):
            return None
        return endpoint[:2]

    return [(each, *to) for each in relayed if (to := target(each.event)) is not None]


def _purposes(event_type: str) -> tuple[str, str]:
    return event_type, event_type.partition(".")[0]


def _unknown(endpoint_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no webhook endpoint {endpoint_id}")


def audited(url: str) -> str:
    """A target as the audit log holds it: whatever follows the host may be a secret of the receiver's."""
    parts = urlsplit(url)
    rest = parts.path.strip("/") or parts.query
    return f"{parts.scheme}://{parts.netloc}/{'…' if rest else ''}" if url else ""


@dataclass(frozen=True, slots=True)
class Target:
    """Reads and sets where events of the type `purpose` go."""

    policy: OutboundPolicy
    purpose: str

    async def get(self, connection: Connection, partner_environment_id: int) -> str:
        """The URL, empty when there is none."""
        return (await endpoints(connection, partner_environment_id)).get(self.purpose, "")

    async def put(self, tx: Connection, partner_environment_id: int, url: str) -> None:
        """Set the URL; an empty one removes it. Raises InvalidTargetError when the policy refuses it."""
        await set_endpoint(tx, self.policy, partner_environment_id, self.purpose, url)


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
