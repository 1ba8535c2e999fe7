"""Since when each record has waited to be stamped."""

from alembic import op

revision = "0027"
down_revision = "0026"

# The database's clock: a sandbox's records tell the time of its own clock, which may be years ahead.
STATEMENT = "ALTER TABLE ramp_unstamped ADD COLUMN queued_at timestamptz NOT NULL DEFAULT now()"


def upgrade() -> None:
    op.execute(STATEMENT)
