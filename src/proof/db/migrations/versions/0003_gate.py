"""."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = """
"""


def upgrade() -> None:
    for statement in filter(None, STATEMENTS.strip().split(";\n\n")):
        op.execute(statement)
