"""The keys that sign receipts and statements."""

from alembic import op

revision = "0023"
down_revision = "0022"

STATEMENTS = """
CREATE TABLE receipt_keys (
    id          uuid PRIMARY KEY,
    environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
    name        text NOT NULL,
    public_key  bytea NOT NULL UNIQUE CHECK (length(public_key) = 32),
    sealed      bytea,
    created_at  timestamptz NOT NULL,
    retired_at  timestamptz,
    CHECK ((sealed IS NULL) = (retired_at IS NOT NULL))
);

CREATE UNIQUE INDEX receipt_keys_current ON receipt_keys (environment) WHERE retired_at IS NULL
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
