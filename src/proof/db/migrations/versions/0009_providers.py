"""Provider accounts, what providers said, and the operations that sandboxes play."""

from alembic import op

revision = "0009"
down_revision = "0008"

# A removed account still has transactions under way: its callbacks are taken and it is polled.
STATEMENTS = """
CREATE TABLE provider_accounts (
    id                     uuid PRIMARY KEY,
    provider               text NOT NULL,
    partner_environment_id integer NOT NULL,
    environment            text NOT NULL CHECK (environment IN ('production', 'sandbox')),
    sealed                 bytea NOT NULL,
    created_at             timestamptz NOT NULL,
    removed_at             timestamptz
);

CREATE UNIQUE INDEX provider_accounts_live ON provider_accounts (partner_environment_id)
    WHERE removed_at IS NULL;

CREATE TABLE provider_callbacks (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id     uuid NOT NULL,
    dedup_sha256   bytea NOT NULL CHECK (length(dedup_sha256) = 32),
    form           text NOT NULL,
    sealed         bytea,
    received_at    timestamptz NOT NULL,
    processed_at   timestamptz,
    outcome        text,
    transaction_id uuid,
    UNIQUE (account_id, dedup_sha256)
);

CREATE INDEX provider_callbacks_waiting ON provider_callbacks (id) WHERE processed_at IS NULL;

CREATE INDEX provider_callbacks_kept ON provider_callbacks (received_at) WHERE sealed IS NOT NULL;

CREATE INDEX provider_callbacks_transaction ON provider_callbacks (transaction_id)
    WHERE sealed IS NOT NULL;

CREATE TABLE unverified_callbacks (
    account_id uuid NOT NULL,
    day        date NOT NULL,
    count      bigint NOT NULL,
    PRIMARY KEY (account_id, day)
);

CREATE TABLE refused_callbacks (
    id          uuid PRIMARY KEY,
    account_id  uuid NOT NULL,
    sealed      bytea NOT NULL,
    received_at timestamptz NOT NULL
);

CREATE INDEX refused_callbacks_kept ON refused_callbacks (received_at);

CREATE TABLE simulated_operations (
    transaction_id         uuid PRIMARY KEY,
    account_id             uuid NOT NULL,
    partner_environment_id integer NOT NULL,
    state                  jsonb NOT NULL,
    due_at                 timestamptz
);

CREATE INDEX simulated_operations_due ON simulated_operations (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE simulated_callbacks (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id             uuid NOT NULL,
    partner_environment_id integer NOT NULL,
    body                   bytea NOT NULL,
    due_at                 timestamptz NOT NULL,
    leased_until           timestamptz,
    tries                  smallint NOT NULL DEFAULT 0
);

CREATE INDEX simulated_callbacks_due ON simulated_callbacks (due_at)
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
