"""Sequences of events, order and breakers of endpoints, what came of deliveries, Ed25519 keys."""

from alembic import op

revision = "0005"
down_revision = "0004"

# A claim changes `next_attempt_at`, which no index holds, so it writes one row version in the same page
# and no index entry; `due_at` finds the row and stays. Half a page is left for those versions.
STATEMENTS = """
ALTER TABLE outbox
    ADD COLUMN sequence bigint,
    ALTER COLUMN body DROP NOT NULL;

UPDATE outbox SET sequence = numbered.sequence
FROM (SELECT id, row_number() OVER (PARTITION BY partner_environment_id, subject ORDER BY cursor)
             AS sequence
      FROM outbox WHERE cursor IS NOT NULL) numbered
WHERE numbered.id = outbox.id;

ALTER TABLE outbox
    ADD CHECK ((cursor IS NULL) = (sequence IS NULL)),
    ADD CHECK (body IS NOT NULL OR cursor IS NOT NULL);

CREATE UNIQUE INDEX outbox_sequence ON outbox (partner_environment_id, subject, sequence)
    WHERE sequence IS NOT NULL;

CREATE INDEX outbox_unpruned ON outbox (created_at) WHERE body IS NOT NULL;

ALTER TABLE webhook_endpoints
    ADD COLUMN ordering      text NOT NULL DEFAULT 'none' CHECK (ordering IN ('none', 'subject')),
    ADD COLUMN ed25519       boolean NOT NULL DEFAULT false,
    ADD COLUMN breaker       text NOT NULL DEFAULT 'closed'
                             CHECK (breaker IN ('closed', 'open', 'disabled')),
    ADD COLUMN reason        text,
    ADD COLUMN opened_at     timestamptz,
    ADD COLUMN probe_at      timestamptz,
    ADD COLUMN failed_probes smallint NOT NULL DEFAULT 0,
    ADD COLUMN disabled_at   timestamptz,
    ADD CHECK ((breaker = 'closed') = (reason IS NULL)),
    ADD CHECK (breaker <> 'open' OR (opened_at IS NOT NULL AND probe_at IS NOT NULL)),
    ADD CHECK ((breaker = 'disabled') = (disabled_at IS NOT NULL));

CREATE INDEX webhook_endpoints_probes ON webhook_endpoints (probe_at) WHERE breaker = 'open';

ALTER TABLE webhook_deliveries
    ADD COLUMN event_cursor    bigint,
    ADD COLUMN due_at          timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN ordered_subject text,
    ADD COLUMN attempts_before smallint NOT NULL DEFAULT 0,
    ADD COLUMN last_attempt_at timestamptz,
    ADD COLUMN last_status     smallint,
    ADD COLUMN last_body       bytea,
    ADD COLUMN last_elapsed_ms integer;

UPDATE webhook_deliveries SET event_cursor = outbox.cursor, due_at = next_attempt_at FROM outbox
WHERE outbox.id = webhook_deliveries.event_id;

ALTER TABLE webhook_deliveries
    ALTER COLUMN event_cursor SET NOT NULL,
    DROP CONSTRAINT webhook_deliveries_event_id_endpoint_id_key,
    ADD UNIQUE (endpoint_id, event_cursor),
    SET (fillfactor = 50);

DROP INDEX webhook_deliveries_due;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending';

CREATE INDEX webhook_deliveries_ordered ON webhook_deliveries (endpoint_id, ordered_subject, id)
    WHERE state = 'pending' AND ordered_subject IS NOT NULL;

CREATE TABLE webhook_signing_keys (
    id                     uuid PRIMARY KEY,
    partner_environment_id integer NOT NULL,
    public_key             bytea NOT NULL CHECK (length(public_key) = 32),
    sealed                 bytea NOT NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    retired_at             timestamptz
);

CREATE INDEX webhook_signing_keys_owner ON webhook_signing_keys (partner_environment_id)
"""


def upgrade() -> None:
    for statement in filter(None, STATEMENTS.strip().split(";\n\n")):
        op.execute(statement)
