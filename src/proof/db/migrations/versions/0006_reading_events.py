"""Finding a partner environment's events of one product by cursor, however many of the other there are."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX outbox_reading ON outbox"
        " (partner_environment_id, starts_with(type, 'timestamp.'), cursor) WHERE cursor IS NOT NULL"
    )
