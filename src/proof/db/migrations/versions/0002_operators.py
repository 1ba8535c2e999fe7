"""."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
"""


def upgrade() -> None:
    for statement in filter(None, STATEMENTS.strip().split(";\n\n")):
        op.execute(statement)
