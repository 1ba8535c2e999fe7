"""Worker processes that are alive."""

from alembic import op

revision = "0017"
down_revision = "0016"

# Unlogged: after a crash of the database each worker has said something new within seconds.
STATEMENT = """
CREATE UNLOGGED TABLE worker_heartbeats (
    worker  uuid PRIMARY KEY,
    at      timestamptz NOT NULL,
    failing jsonb NOT NULL
)
"""


def upgrade() -> None:
    op.execute(STATEMENT)
