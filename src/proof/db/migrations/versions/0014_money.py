"""What a transaction came to: fees, the rate, why it failed, where it is on its chain; the partner's own
name for it."""

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = """
ALTER TABLE ramp_transactions
    ADD COLUMN fiat_fee              numeric CHECK (fiat_fee >= 0),
    ADD COLUMN rate                  numeric CHECK (rate >= 0),
    ADD COLUMN failure_reason        text NOT NULL DEFAULT '',
    ADD COLUMN chain_transaction     text NOT NULL DEFAULT '',
    ADD COLUMN chain_transaction_url text NOT NULL DEFAULT '';

ALTER TABLE ramp_sessions ADD COLUMN partner_reference text NOT NULL DEFAULT ''
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
