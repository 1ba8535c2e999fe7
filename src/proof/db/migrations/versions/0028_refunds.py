"""What was given back of a payment; when the newest record was made that changed no status."""

from alembic import op

revision = "0028"
down_revision = "0027"

# A change of status pins its record's moment by `updated_at`; `chain_recorded_at` does for refunds and for
# operators' confirmations, so that the next record is never dated before them.
STATEMENTS = """
ALTER TABLE ramp_transactions
    ADD COLUMN refund_status text NOT NULL DEFAULT 'none'
        CHECK (refund_status IN ('none', 'requested', 'refunded', 'charged_back')),
    ADD COLUMN refund_amount numeric,
    ADD COLUMN refunded_at timestamptz,
    ADD COLUMN chain_recorded_at timestamptz,
    ADD CHECK ((refund_status = 'none') = (refund_amount IS NULL) AND refund_amount > 0),
    ADD CHECK ((refund_status IN ('refunded', 'charged_back')) = (refunded_at IS NOT NULL));

UPDATE ramp_transactions transaction
SET chain_recorded_at = (convert_from(record, 'UTF8')::jsonb ->> 'recorded_at')::timestamptz
FROM ramp_records newest
WHERE newest.transaction_id = transaction.id AND newest.sequence = transaction.chain_length
  AND newest.kind = 'operator.resolution';

ALTER TABLE webhook_endpoints
    DROP CONSTRAINT webhook_endpoints_events_check,
    ADD CONSTRAINT webhook_endpoints_events_check CHECK (cardinality(events) > 0
        AND events <@ '{transaction.status,transaction.receipt,transaction.refunded}')
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
