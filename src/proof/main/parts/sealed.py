"""Every column of sealed secrets there is, whichever slice's."""

from proof.db.sealed import SealedColumn
from proof.partners.handover import links as handovers
from proof.partners.keys import session_signing, webhook_secrets
from proof.ramp import personal
from proof.ramp.providers import accounts, callbacks
from proof.receipts import keys as receipt_keys
from proof.timestamps.anchors.log import keys as log_keys
from proof.webhooks import signing as webhook_signing

SEALED = (
    SealedColumn("handovers", ("token_sha256",), handovers.IDENTITY),
    SealedColumn("log_keys", ("label", "role"), log_keys.IDENTITY),
    SealedColumn("provider_accounts", ("id",), accounts.IDENTITY),
    SealedColumn("provider_callbacks", ("account_id", "dedup_sha256"), callbacks.IDENTITY),
    SealedColumn("ramp_personal", ("kind", "id"), personal.IDENTITY),
    SealedColumn("receipt_keys", ("id", "environment"), receipt_keys.IDENTITY),
    SealedColumn("refused_callbacks", ("id",), callbacks.REFUSED_IDENTITY),
    SealedColumn("signing_keys", ("id", "environment"), session_signing.IDENTITY),
    SealedColumn("webhook_secrets", ("id",), webhook_secrets.IDENTITY),
    SealedColumn("webhook_signing_keys", ("id",), webhook_signing.IDENTITY),
)
