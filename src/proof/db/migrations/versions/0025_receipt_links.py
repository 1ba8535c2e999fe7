"""The links under which users find their receipts: SHA-256 of each one's token."""

from alembic import op

revision = "0025"
down_revision = "0024"

STATEMENTS = """
CREATE TABLE ramp_receipt_links (
    transaction_id uuid PRIMARY KEY REFERENCES ramp_transactions ON DELETE CASCADE,
    token_sha256   bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at     timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    op.execute(STATEMENTS.strip())
