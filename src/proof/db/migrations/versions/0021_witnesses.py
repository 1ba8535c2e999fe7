"""Who publishes a log, by which policy, and what is known of its witnesses; a third key of each log."""

from alembic import op

revision = "0021"
down_revision = "0020"

STATEMENTS = """
CREATE TABLE log_publishers (
    log_id integer PRIMARY KEY REFERENCES logs,
    owner  uuid NOT NULL,
    until  timestamptz NOT NULL
);

CREATE TABLE log_policies (
    log_id integer NOT NULL REFERENCES logs,
    size   bigint NOT NULL,
    policy bytea NOT NULL,
    PRIMARY KEY (log_id, size)
);

CREATE TABLE log_witnesses (
    log_id        integer NOT NULL REFERENCES logs,
    url           text NOT NULL,
    names         text[] NOT NULL,
    size          bigint NOT NULL CHECK (size >= 0),
    succeeded_at  timestamptz,
    failing_since timestamptz,
    error         text,
    PRIMARY KEY (log_id, url),
    CHECK ((failing_since IS NULL) = (error IS NULL))
);

ALTER TABLE log_keys
    DROP CONSTRAINT log_keys_role_check,
    DROP CONSTRAINT log_keys_public_key_check,
    ADD CONSTRAINT log_keys_public_key_check CHECK (
        length(public_key) = CASE role WHEN 'mldsa44_cosigner' THEN 1312 ELSE 32 END),
    ADD CONSTRAINT log_keys_role_check CHECK (role IN ('log', 'cosigner', 'mldsa44_cosigner'))
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
