"""A transaction's records are a chain from its opening on; those not stamped yet; who stamps them."""

from alembic import op

revision = "0022"
down_revision = "0021"

# A statement that writes many records fills the queue once. The queue has no index: it is read whole and
# emptied, and an index would cost every writer. Only whoever finds it empty notifies, because a notifying
# commit waits for the one before it. The reference from a record to its transaction is dropped: records
# are written by whoever made or locked the transaction, and the check cost each of them a look-up.
STATEMENTS = """
ALTER TABLE ramp_events RENAME TO ramp_records;

ALTER TABLE ramp_records
    DROP CONSTRAINT ramp_events_transaction_id_fkey,
    DROP COLUMN event_id,
    ADD COLUMN kind text NOT NULL DEFAULT 'transaction.status'
        CHECK (kind IN ('session.opened', 'provider.callback', 'operator.resolution',
                        'transaction.status', 'transaction.refund'));

ALTER TABLE ramp_records ALTER COLUMN kind DROP DEFAULT;

ALTER INDEX ramp_events_pkey RENAME TO ramp_records_pkey;

ALTER TABLE ramp_transactions
    ADD COLUMN chain_length integer NOT NULL DEFAULT 0,
    ADD COLUMN chain_sha256 bytea CHECK (length(chain_sha256) = 32);

UPDATE ramp_transactions SET chain_length = event_count, chain_sha256 = event_sha256 WHERE event_count > 0;

CREATE TABLE ramp_unstamped (
    transaction_id uuid NOT NULL,
    sequence       integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO ramp_unstamped SELECT transaction_id, sequence FROM ramp_records;

CREATE FUNCTION ramp_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ramp_unstamped) THEN
        PERFORM pg_notify('proof_ramp_recorded', '');
    END IF;
    INSERT INTO ramp_unstamped SELECT transaction_id, sequence FROM recorded;
    RETURN NULL;
END $$;

CREATE TRIGGER ramp_recorded AFTER INSERT ON ramp_records
    REFERENCING NEW TABLE AS recorded FOR EACH STATEMENT EXECUTE FUNCTION ramp_recorded();

CREATE TABLE ramp_chain_days (
    partner_environment_id integer NOT NULL,
    day                    date NOT NULL,
    transaction_id         uuid NOT NULL,
    records                integer NOT NULL CHECK (records > 0),
    head                   bytea NOT NULL CHECK (length(head) = 32),
    PRIMARY KEY (partner_environment_id, day, transaction_id)
);

INSERT INTO partners (id, name, contact_email)
    VALUES ('ptr_receipts', 'Receipts', 'nobody@localhost.invalid');

INSERT INTO partner_environments (id, partner_id, environment, widget_id)
    OVERRIDING SYSTEM VALUE VALUES
    (-2, 'ptr_receipts', 'production', 'wdg_receipts'),
    (-3, 'ptr_receipts', 'sandbox', 'wdg_receipts_sandbox')
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
