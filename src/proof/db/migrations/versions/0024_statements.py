"""Daily statements, and up to which day they are made."""

from alembic import op

revision = "0024"
down_revision = "0023"

# A day is closed under the lock that stamping takes, so that no chain changes on it any more; `made` is the
# day up to which every statement is there. A tile is what 256 chains of a statement's tree come to.
STATEMENTS = """
CREATE TABLE statement_days (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    closed date NOT NULL,
    made   date,
    CHECK (made <= closed)
);

CREATE TABLE statements (
    partner_environment_id integer NOT NULL,
    day                    date NOT NULL,
    statement              bytea NOT NULL,
    sha256                 bytea NOT NULL CHECK (length(sha256) = 32),
    csv_bytes              bigint NOT NULL,
    lines_bytes            bigint NOT NULL,
    PRIMARY KEY (partner_environment_id, day)
);

CREATE TABLE statement_tiles (
    partner_environment_id integer NOT NULL,
    day                    date NOT NULL,
    position               integer NOT NULL,
    first_transaction      uuid NOT NULL,
    node                   bytea NOT NULL CHECK (length(node) = 32),
    PRIMARY KEY (partner_environment_id, day, position)
);

CREATE INDEX ramp_chain_days_transaction ON ramp_chain_days (transaction_id, day);

CREATE INDEX ramp_records_refunds ON ramp_records (transaction_id, sequence)
    WHERE kind = 'transaction.refund'
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
