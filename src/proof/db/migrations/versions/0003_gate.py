"""The gate: rotations, last use, allowlist modes, rates and their buckets, refusals."""

from alembic import op

revision = "0003"
down_revision = "0002"

# `credential_uses`, `rate_buckets` and `refusals` change with the traffic, so no trigger of theirs
# raises the directory's version. A bucket lost in a crash is a full one, which is what unlogged costs.
STATEMENTS = """
ALTER TABLE credentials
    ADD COLUMN position      bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN grace         interval,
    ADD COLUMN deprecated_at timestamptz;

CREATE INDEX credentials_environment ON credentials (partner_environment_id, kind, position);

CREATE TABLE credential_uses (
    key_id        text PRIMARY KEY REFERENCES credentials,
    first_used_at timestamptz NOT NULL,
    last_used_at  timestamptz NOT NULL,
    last_address  inet NOT NULL
);

CREATE TABLE allowlist_modes (
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    kind                   text NOT NULL CHECK (kind IN ('client_token', 'api_key')),
    mode                   text NOT NULL CHECK (mode IN ('enforce', 'report')),
    PRIMARY KEY (partner_environment_id, kind)
);

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON allowlist_modes
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();

CREATE TABLE rate_limits (
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    call_class             text NOT NULL
                           CHECK (call_class IN ('submit', 'read', 'proof', 'settings', 'session')),
    calls                  integer NOT NULL CHECK (calls > 0),
    window_s               integer NOT NULL CHECK (window_s > 0),
    burst                  integer NOT NULL CHECK (burst > 0),
    PRIMARY KEY (partner_environment_id, call_class)
);

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON rate_limits
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();

CREATE UNLOGGED TABLE rate_buckets (
    partner_environment_id integer NOT NULL,
    call_class             text NOT NULL,
    tokens                 double precision NOT NULL,
    at                     double precision NOT NULL,
    leased                 bigint NOT NULL,
    leased_before          bigint NOT NULL,
    PRIMARY KEY (partner_environment_id, call_class)
);

CREATE TABLE refusals (
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    minute                 timestamptz NOT NULL,
    kind                   text NOT NULL,
    reason                 text NOT NULL,
    network                cidr,
    count                  bigint NOT NULL,
    last_at                timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (minute, partner_environment_id, kind, reason, network)
)
"""


def upgrade() -> None:
    for statement in filter(None, STATEMENTS.strip().split(";\n\n")):
        op.execute(statement)
