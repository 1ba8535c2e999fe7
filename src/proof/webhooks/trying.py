"""What became of test events: an operator waits for the first attempt at each endpoint."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from proof.db import Database
from proof.partners.environments import environment_id
from proof.webhooks.acts import Place
from proof.webhooks.inspection import DeliveryRecord, Search, search_deliveries
from proof.webhooks.types import State

_POLL_S = 0.2


async def first_attempts(
    database: Database, place: Place, sent: Mapping[UUID, UUID], timeout_s: float
) -> dict[UUID, DeliveryRecord]:
    """The deliveries of test events, by endpoint, once each was attempted or `timeout_s` is over.

    `sent` has the event's id for each endpoint, as `send_test` gives them. A delivery that was not made
    due yet, as while no worker runs, is left out; one without an outcome waits, perhaps for its endpoint's
    breaker. Raises NotFoundError, DatabaseUnavailableError.
    """
    clock = asyncio.get_running_loop()
    deadline = clock.time() + timeout_s
    while True:
        found = await _deliveries(database, place, sent)
        over = [one for one in found.values() if one.last_outcome or one.state is not State.PENDING]
        if len(over) == len(sent) or clock.time() >= deadline:
            return found
        await asyncio.sleep(min(_POLL_S, deadline - clock.time()))


async def _deliveries(
    database: Database, place: Place, sent: Mapping[UUID, UUID]
) -> dict[UUID, DeliveryRecord]:
    found = {}
    async with database.connection() as connection:
        owner = await environment_id(connection, place.partner_id, place.environment)
        for endpoint_id, event_id in sent.items():
            # A test event's subject is its endpoint.
            wanted = Search([owner], endpoint_id, subject=str(endpoint_id))
            for one in await search_deliveries(connection, wanted):
                if one.record.event_id == event_id:
                    found[endpoint_id] = one.record
    return found
