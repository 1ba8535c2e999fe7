"""Widget sessions and idempotency keys; a partner's wallets are known to every process."""

from alembic import op

revision = "0008"
down_revision = "0007"

# `parameters` keeps the answer to the partner's backend but for what is sealed or derived: json, because
# the order of its members is answered again.
STATEMENTS = """
CREATE TABLE ramp_sessions (
    id                bytea PRIMARY KEY CHECK (length(id) = 32),
    transaction_id    uuid NOT NULL UNIQUE,
    signing_key_id    uuid NOT NULL,
    parameters        json NOT NULL,
    created_at        timestamptz NOT NULL,
    init_expires_at   timestamptz NOT NULL,
    exchanged_at      timestamptz,
    token_sha256      bytea UNIQUE CHECK (length(token_sha256) = 32),
    expires_at        timestamptz,
    client_ip_differs boolean,
    fiat_currency     text,
    over_at           timestamptz
);

CREATE INDEX ramp_sessions_open ON ramp_sessions (init_expires_at) WHERE over_at IS NULL;

CREATE TABLE idempotency_keys (
    partner_environment_id integer NOT NULL,
    route                  text NOT NULL,
    key_sha256             bytea NOT NULL CHECK (length(key_sha256) = 32),
    body_mac               bytea NOT NULL CHECK (length(body_mac) = 32),
    transaction_id         uuid NOT NULL,
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (partner_environment_id, route, key_sha256)
);

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON wallets
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed()
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
