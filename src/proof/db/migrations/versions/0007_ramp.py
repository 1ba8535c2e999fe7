"""People, transactions and their events; the sandbox's clock."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = """
CREATE TABLE ramp_users (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_environment_id integer NOT NULL,
    partner_user_id        text NOT NULL,
    kyc                    text NOT NULL DEFAULT 'not_started'
                           CHECK (kyc IN ('not_started', 'pending', 'verified', 'failed')),
    created_at             timestamptz NOT NULL,
    erased_at              timestamptz,
    UNIQUE (partner_environment_id, partner_user_id)
);

CREATE TABLE ramp_transactions (
    id                     uuid PRIMARY KEY,
    partner_environment_id integer NOT NULL,
    user_id                bigint NOT NULL,
    type                   text NOT NULL CHECK (type IN ('buy', 'sell')),
    status                 text NOT NULL DEFAULT 'pending'
                           CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    currency               text NOT NULL,
    network                text NOT NULL,
    crypto_amount          numeric NOT NULL CHECK (crypto_amount > 0),
    fiat_currency          text NOT NULL DEFAULT '',
    fiat_amount            numeric,
    payment_method         text,
    provider_account_id    uuid,
    provider_reference     text,
    deposit_shown_at       timestamptz,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    event_count            integer NOT NULL DEFAULT 0,
    event_sha256           bytea CHECK (length(event_sha256) = 32),
    alert                  text,
    alerted_at             timestamptz,
    next_poll_at           timestamptz NOT NULL DEFAULT now() + interval '30 seconds',
    polls                  smallint NOT NULL DEFAULT 0
);

CREATE INDEX ramp_transactions_owner ON ramp_transactions (partner_environment_id, created_at, id);

CREATE INDEX ramp_transactions_polled ON ramp_transactions (next_poll_at)
    WHERE status IN ('pending', 'processing');

CREATE INDEX ramp_transactions_alerted ON ramp_transactions (alerted_at) WHERE alert IS NOT NULL;

CREATE TABLE ramp_events (
    transaction_id uuid NOT NULL REFERENCES ramp_transactions,
    sequence       integer NOT NULL,
    event_id       uuid NOT NULL UNIQUE,
    record         bytea NOT NULL,
    PRIMARY KEY (transaction_id, sequence)
);

CREATE TABLE ramp_statements (
    transaction_id uuid NOT NULL REFERENCES ramp_transactions,
    occurred_at    timestamptz NOT NULL,
    said           text NOT NULL,
    verdict        text NOT NULL,
    alert          text,
    observed_at    timestamptz NOT NULL,
    PRIMARY KEY (transaction_id, occurred_at, said)
);

CREATE TABLE ramp_personal (
    id             uuid PRIMARY KEY,
    user_id        bigint NOT NULL,
    transaction_id uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('email', 'address', 'client_ip', 'salt')),
    sealed         bytea NOT NULL,
    created_at     timestamptz NOT NULL
);

CREATE INDEX ramp_personal_transaction ON ramp_personal (transaction_id);

CREATE INDEX ramp_personal_client_ip ON ramp_personal (created_at) WHERE kind = 'client_ip';

CREATE TABLE sandbox_clocks (
    partner_environment_id integer PRIMARY KEY,
    offset_s               bigint NOT NULL CHECK (offset_s >= 0)
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
