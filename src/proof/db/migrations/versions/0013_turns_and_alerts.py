"""Whose turn it is at each wallet that pays for trees; mail about transactions that need a person."""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = """
CREATE TABLE wallet_turns (
    wallet  text PRIMARY KEY,
    tree_id uuid NOT NULL REFERENCES trees
);

CREATE TABLE ramp_alert_notices (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id uuid NOT NULL,
    alert          text NOT NULL,
    at             timestamptz NOT NULL,
    attempts       smallint NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL,
    leased_until   timestamptz,
    ended_at       timestamptz,
    outcome        text,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE UNIQUE INDEX ramp_alert_notices_waiting ON ramp_alert_notices (transaction_id, alert)
    WHERE ended_at IS NULL;

CREATE INDEX ramp_alert_notices_due ON ramp_alert_notices (due_at) WHERE ended_at IS NULL;

CREATE INDEX ramp_alert_notices_ended ON ramp_alert_notices (ended_at) WHERE ended_at IS NOT NULL
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
