"""Whoever stamps through the calendar, without a credential."""

from alembic import op

revision = "0012"
down_revision = "0011"

STATEMENTS = """
INSERT INTO partners (id, name, contact_email)
    VALUES ('ptr_calendar', 'The calendar', 'nobody@localhost.invalid');

INSERT INTO partner_environments (id, partner_id, environment, widget_id)
    OVERRIDING SYSTEM VALUE VALUES (-1, 'ptr_calendar', 'production', 'wdg_calendar')
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
