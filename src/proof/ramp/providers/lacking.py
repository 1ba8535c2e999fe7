"""What of payment providers an environment cannot work without."""

from proof.db import Connection
from proof.partners.environments import environment_id
from proof.partners.types import Environment
from proof.ramp.providers.accounts import provider_of


async def lacking_provider(
    connection: Connection, partner_id: str
) -> dict[Environment, tuple[str, ...]]:
    """What is missing, in words, for each environment that lacks something.

    A sandbox lacks nothing: it gets the simulator by itself. Raises NotFoundError.
    """
    owner = await environment_id(connection, partner_id, Environment.PRODUCTION)
    if await provider_of(connection, owner) is not None:
        return {}
    said = "provider: no account; `proof provider add` gives it one"
    return {Environment.PRODUCTION: (said,)}
