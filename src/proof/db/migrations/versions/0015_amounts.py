"""The least and the most coins that a partner's sessions are opened with, by currency and network."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("ALTER TABLE partner_environments ADD COLUMN amounts jsonb NOT NULL DEFAULT '[]'")
