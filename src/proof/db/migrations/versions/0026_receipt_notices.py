"""What an endpoint of transactions asked for; whose receipts' maturing is to be told, by the tree."""

from alembic import op

revision = "0026"
down_revision = "0025"

STATEMENTS = """
ALTER TABLE webhook_endpoints
    ADD COLUMN events text[] NOT NULL DEFAULT '{transaction.status}'
        CHECK (cardinality(events) > 0 AND events <@ '{transaction.status,transaction.receipt}');

CREATE TABLE receipt_watches (
    tree_id                uuid NOT NULL,
    transaction_id         uuid NOT NULL,
    partner_environment_id integer NOT NULL,
    records                integer NOT NULL CHECK (records > 0),
    head                   bytea NOT NULL CHECK (length(head) = 32),
    PRIMARY KEY (tree_id, transaction_id)
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
