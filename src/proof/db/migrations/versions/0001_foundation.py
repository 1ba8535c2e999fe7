"""Partners, events, webhooks, submissions, rounds and the log."""

from alembic import op

revision = "0001"
down_revision = None

PARTNERS = """
CREATE TABLE partners (
    id            text PRIMARY KEY,
    name          text NOT NULL CHECK (name <> ''),
    contact_email text NOT NULL,
    off_ramp      boolean NOT NULL,
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE partner_environments (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_id  text NOT NULL REFERENCES partners,
    environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
    widget_id   text NOT NULL UNIQUE,
    limit_timestamps bigint,
    limit_proofs     bigint,
    limit_status     bigint,
    UNIQUE (partner_id, environment)
);

CREATE TABLE credentials (
    key_id                 text PRIMARY KEY,
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    kind                   text NOT NULL CHECK (kind IN ('client_token', 'api_key')),
    token_sha256           bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at             timestamptz NOT NULL DEFAULT now(),
    expires_at             timestamptz,
    revoked_at             timestamptz
);

CREATE TABLE allowlist (
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    kind                   text NOT NULL CHECK (kind IN ('client_token', 'api_key')),
    network                cidr NOT NULL,
    PRIMARY KEY (partner_environment_id, kind, network)
);

CREATE TABLE widget_origins (
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    origin                 text NOT NULL,
    PRIMARY KEY (partner_environment_id, origin)
);

CREATE TABLE webhook_secrets (
    id                     uuid PRIMARY KEY,
    partner_environment_id integer NOT NULL REFERENCES partner_environments,
    sealed                 bytea NOT NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    retired_at             timestamptz
);

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    address    text,
    request_id text,
    action     text NOT NULL,
    partner_id text,
    before     jsonb,
    after      jsonb
);

CREATE TABLE base_urls (
    environment text PRIMARY KEY,
    url         text NOT NULL
);

CREATE TABLE directory_version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version   bigint NOT NULL
);

INSERT INTO directory_version (version) VALUES (1);

CREATE FUNCTION directory_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE directory_version SET version = version + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON partners
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON partner_environments
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON credentials
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed();

CREATE TRIGGER directory_changed AFTER INSERT OR UPDATE OR DELETE ON allowlist
    FOR EACH STATEMENT EXECUTE FUNCTION directory_changed()
"""

EVENTS_AND_WEBHOOKS = """
CREATE TABLE outbox (
    id                     uuid PRIMARY KEY,
    position               bigint GENERATED ALWAYS AS IDENTITY,
    partner_environment_id integer NOT NULL,
    type                   text NOT NULL,
    version                smallint NOT NULL,
    subject                text NOT NULL,
    body                   bytea NOT NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    cursor                 bigint UNIQUE
);

CREATE INDEX outbox_unrelayed ON outbox (position) WHERE cursor IS NULL;

CREATE SEQUENCE outbox_cursor;

CREATE TABLE webhook_endpoints (
    id                     uuid PRIMARY KEY,
    partner_environment_id integer NOT NULL,
    purpose                text NOT NULL,
    url                    text NOT NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    removed_at             timestamptz
);

CREATE UNIQUE INDEX webhook_endpoints_purpose
    ON webhook_endpoints (partner_environment_id, purpose) WHERE removed_at IS NULL;

CREATE TABLE webhook_deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        uuid NOT NULL REFERENCES outbox,
    endpoint_id     uuid NOT NULL REFERENCES webhook_endpoints,
    state           text NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts        smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_outcome    text,
    delivered_at    timestamptz,
    UNIQUE (event_id, endpoint_id)
);

CREATE INDEX webhook_deliveries_due
    ON webhook_deliveries (endpoint_id, next_attempt_at) WHERE state = 'pending'
"""

TIMESTAMPS = """
CREATE TABLE rounds (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_environment_id integer NOT NULL,
    environment            text NOT NULL,
    opened_at              timestamptz NOT NULL DEFAULT now(),
    blinding               bytea NOT NULL CHECK (length(blinding) = 32),
    closed_at              timestamptz,
    sealed_at              timestamptz,
    leaf_count             integer,
    root                   bytea CHECK (length(root) = 32),
    logged                 boolean NOT NULL DEFAULT false,
    CHECK (sealed_at IS NULL OR closed_at IS NOT NULL),
    CHECK ((sealed_at IS NULL) = (root IS NULL) AND (root IS NULL) = (leaf_count IS NULL))
);

CREATE INDEX rounds_unsealed ON rounds (id) WHERE sealed_at IS NULL;

CREATE TABLE submissions (
    partner_environment_id integer NOT NULL,
    digest                 bytea NOT NULL CHECK (length(digest) = 32),
    round_id               bigint NOT NULL,
    created_at             timestamptz NOT NULL,
    PRIMARY KEY (partner_environment_id, digest)
);

CREATE INDEX submissions_round ON submissions
    USING brin (round_id) WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE trees (
    id           uuid PRIMARY KEY,
    environment  text NOT NULL,
    currency_id  smallint NOT NULL,
    status       smallint NOT NULL DEFAULT 0 CHECK (status BETWEEN 0 AND 3),
    opened_at    timestamptz NOT NULL DEFAULT now(),
    root         bytea CHECK (length(root) = 32),
    transaction  text,
    timestamp_ms bigint,
    CHECK (status < 3 OR (root IS NOT NULL AND transaction IS NOT NULL AND timestamp_ms IS NOT NULL))
);

CREATE TABLE round_trees (
    round_id bigint NOT NULL REFERENCES rounds ON DELETE CASCADE,
    tree_id  uuid NOT NULL REFERENCES trees ON DELETE CASCADE,
    PRIMARY KEY (round_id, tree_id)
);

CREATE INDEX round_trees_tree ON round_trees (tree_id);

CREATE TABLE round_tiles (
    round_id   bigint NOT NULL REFERENCES rounds,
    level      smallint NOT NULL,
    position   integer NOT NULL,
    first_hash bytea NOT NULL,
    hashes     bytea NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (round_id, level, position)
);

ALTER TABLE round_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX round_tiles_first_leaf ON round_tiles (round_id, first_hash) WHERE level = 0;

CREATE TABLE log_heads (
    environment text PRIMARY KEY,
    origin      text NOT NULL UNIQUE,
    size        bigint NOT NULL,
    root        bytea NOT NULL CHECK (length(root) = 32)
);

CREATE INDEX rounds_unlogged ON rounds (environment, id) WHERE sealed_at IS NOT NULL AND NOT logged;

CREATE TABLE log_keys (
    environment text NOT NULL,
    role        text NOT NULL CHECK (role IN ('log', 'cosigner')),
    name        text NOT NULL,
    public_key  bytea NOT NULL CHECK (length(public_key) = 32),
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (environment, role)
);

CREATE TABLE log_entries (
    environment text NOT NULL,
    position    bigint NOT NULL,
    round_id    bigint NOT NULL UNIQUE REFERENCES rounds,
    root        bytea NOT NULL,
    PRIMARY KEY (environment, position)
);

CREATE TABLE log_tiles (
    environment text NOT NULL,
    level       smallint NOT NULL,
    position    bigint NOT NULL,
    hashes      bytea NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (environment, level, position)
);

ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE log_checkpoints (
    environment text NOT NULL,
    size        bigint NOT NULL,
    note        text NOT NULL,
    signed_at   timestamptz NOT NULL,
    PRIMARY KEY (environment, size)
);

CREATE TABLE timestamp_usage (
    partner_environment_id integer NOT NULL,
    month                  date NOT NULL,
    kind                   text NOT NULL CHECK (kind IN ('timestamps', 'proofs', 'status')),
    shard                  smallint NOT NULL,
    used                   bigint NOT NULL,
    PRIMARY KEY (partner_environment_id, month, kind, shard)
);

CREATE TABLE timestamp_settings (
    partner_environment_id integer PRIMARY KEY,
    notified_currency_ids  smallint[]
)
"""


def upgrade() -> None:
    for script in (PARTNERS, EVENTS_AND_WEBHOOKS, TIMESTAMPS):
        for statement in script.split(";\n\n"):
            op.execute(statement)
