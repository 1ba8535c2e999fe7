"""Fresh credentials for a partner that is there already, to be handed over anew."""

from collections.abc import Mapping
from datetime import datetime

from proof.core.secrets import Vault
from proof.db import Connection
from proof.partners.audit import Actor
from proof.partners.environments import environment_id
from proof.partners.handover.credentials import (
    EnvironmentCredentials,
    PartnerCredentials,
)
from proof.partners.records.types import PartnerRecord
from proof.partners.rotation import rotate
from proof.partners.secret_ring import webhook_secret_text, webhook_secrets
from proof.partners.types import CredentialKind, Environment


async def renew_credentials(
    tx: Connection,
    vault: Vault,
    record: PartnerRecord,
    urls: Mapping[Environment, str],
    actor: Actor,
    now: datetime,
) -> PartnerCredentials:
    """New tokens of both kinds for both environments; the old ones end as after any rotation.

    The webhook secret stays the newest one there is: it can be read, and its receiver knows no other.
    """
    parts = {
        str(each): await _renewed(tx, vault, record, each, urls[each], actor, now)
        for each in Environment
    }
    return PartnerCredentials(partner_id=record.partner_id, **parts)


async def _renewed(
    tx: Connection,
    vault: Vault,
    record: PartnerRecord,
    environment: Environment,
    base_url: str,
    actor: Actor,
    now: datetime,
) -> EnvironmentCredentials:
    issued = {
        kind: await rotate(tx, record.partner_id, environment, kind, actor, now)
        for kind in CredentialKind
    }
    identity = await environment_id(tx, record.partner_id, environment)
    return EnvironmentCredentials(
        base_url=base_url,
        client_token=issued[CredentialKind.CLIENT_TOKEN].token,
        api_key=issued[CredentialKind.API_KEY].token,
        widget_id=record.environment(environment).widget_id,
        webhook_secret=webhook_secret_text((await webhook_secrets(tx, vault, identity))[0]),
    )
