"""Operators' tokens end, and may be bound to addresses."""

from alembic import op

revision = "0018"
down_revision = "0017"

# A token that is in use gets the same year as a new one: ending it with the upgrade would stop monitoring,
# and without an end it would be the one that leaks.
STATEMENTS = (
    "ALTER TABLE operators ADD COLUMN networks cidr[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE operators ADD COLUMN expires_at timestamptz",
    "UPDATE operators SET expires_at = now() + interval '365 days'",
    "ALTER TABLE operators ALTER COLUMN expires_at SET NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
