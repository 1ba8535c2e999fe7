"""Operators, what each environment of a partner is configured with, one-time handovers."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
CREATE TABLE operators (
    key_id       text PRIMARY KEY,
    name         text NOT NULL CHECK (name <> ''),
    scope        text NOT NULL CHECK (scope IN ('read', 'write')),
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz
);

ALTER TABLE partner_environments
    ADD COLUMN off_ramp      boolean NOT NULL DEFAULT false,
    ADD COLUMN currencies    text[] NOT NULL DEFAULT '{}',
    ADD COLUMN networks      text[] NOT NULL DEFAULT '{}',
    ADD COLUMN own_address   boolean NOT NULL DEFAULT false,
    ADD COLUMN widget_config jsonb NOT NULL DEFAULT '{}';

UPDATE partner_environments e SET off_ramp = p.off_ramp FROM partners p WHERE p.id = e.partner_id;

ALTER TABLE partners
    DROP COLUMN off_ramp,
    ADD COLUMN version bigint NOT NULL DEFAULT 1;

ALTER TABLE widget_origins ADD COLUMN position smallint NOT NULL DEFAULT 0;

CREATE INDEX partners_page ON partners (created_at, id);

CREATE TABLE wallets (
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    currency               text NOT NULL,
    network                text NOT NULL,
    address                text NOT NULL,
    active                 boolean NOT NULL,
    PRIMARY KEY (partner_environment_id, currency, network)
);

CREATE TABLE handovers (
    token_sha256 bytea PRIMARY KEY CHECK (length(token_sha256) = 32),
    partner_id   text NOT NULL REFERENCES partners,
    sealed       bytea,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    viewed_at    timestamptz,
    CHECK (viewed_at IS NULL OR sealed IS NULL)
);

CREATE INDEX handovers_sealed ON handovers (expires_at) WHERE sealed IS NOT NULL
"""


def upgrade() -> None:
    for statement in filter(None, STATEMENTS.strip().split(";\n\n")):
        op.execute(statement)
