"""What comes before any process serves: what must be there."""

from proof.config import Settings
from proof.core.clock import SystemClock
from proof.main.parts import database as databases
from proof.main.parts.chains import require_calendar_chain
from proof.main.parts.keys import open_vault, require_ring
from proof.main.parts.tsa import prepare_tsa
from proof.partners.audit import Actor
from proof.partners.keys.session_signing import ensure_key
from proof.partners.service import announce_base_urls, base_urls
from proof.partners.types import Environment
from proof.receipts import keys as receipt_keys
from proof.timestamps.anchors.log.service import ensure_log

_AT_START = Actor("start")


async def prepare(settings: Settings, *, announce: bool = True, actor: Actor = _AT_START) -> None:
    """What must be there before any process serves: schema, keys, logs.

    Base URLs are recorded as the settings give them; without `announce`, only where none are yet.
    """
    prepare_tsa(settings)
    require_calendar_chain(settings)
    await databases.upgrade(settings)
    vault = open_vault(settings)
    async with databases.opened(settings) as database:
        async with database.transaction() as tx:
            if announce or not await base_urls(tx):
                urls = {environment: settings.base_url(environment) for environment in Environment}
                await announce_base_urls(tx, urls)
        for environment in Environment:
            origin = settings.origin_of_log(environment)
            await ensure_log(database, vault, environment, origin)
            async with database.transaction() as tx:
                await ensure_key(tx, vault, environment, actor, SystemClock().now())
        for environment in Environment:
            async with database.transaction() as tx:
                now = SystemClock().now()
                await receipt_keys.ensure_key(tx, vault, environment, actor, now)
        async with database.connection() as connection:
            await require_ring(connection, vault)
