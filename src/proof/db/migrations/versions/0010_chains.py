"""Trees over rounds, and the transactions that carry their roots."""

from alembic import op

revision = "0010"
down_revision = "0009"

# A log tree (900) is one round's and is never open to others.
STATEMENTS = """
ALTER TABLE trees
    ADD COLUMN closed_at       timestamptz,
    ADD COLUMN leaf_count      integer,
    ADD COLUMN checkpoint_size bigint,
    ADD COLUMN evidence        jsonb,
    ADD COLUMN block           text,
    ADD COLUMN cost            numeric,
    ADD COLUMN hash_count      bigint,
    ADD COLUMN verified_at     timestamptz,
    ADD COLUMN settled         boolean NOT NULL DEFAULT false,
    ADD CHECK (currency_id = 900 OR status = 0 OR root IS NOT NULL),
    ADD CHECK (currency_id = 900 OR (root IS NULL OR closed_at IS NOT NULL)),
    ADD CHECK (currency_id = 900 OR status < 3 OR evidence IS NOT NULL);

CREATE UNIQUE INDEX trees_open ON trees (environment, currency_id)
    WHERE closed_at IS NULL AND currency_id <> 900;

CREATE INDEX trees_under_way ON trees (environment, currency_id, closed_at)
    WHERE closed_at IS NOT NULL AND NOT settled;

CREATE INDEX trees_anchored ON trees (environment, currency_id, closed_at)
    WHERE closed_at IS NOT NULL;

CREATE TABLE tree_tiles (
    tree_id    uuid NOT NULL REFERENCES trees,
    level      smallint NOT NULL,
    position   integer NOT NULL,
    first_hash bytea NOT NULL,
    hashes     bytea NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (tree_id, level, position)
);

ALTER TABLE tree_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX tree_tiles_first_leaf ON tree_tiles (tree_id, first_hash) WHERE level = 0;

CREATE TABLE anchor_transactions (
    tree_id      uuid NOT NULL REFERENCES trees,
    number       integer NOT NULL,
    transaction  text NOT NULL,
    raw          bytea NOT NULL,
    fee          numeric NOT NULL,
    created_at   timestamptz NOT NULL,
    broadcast_at timestamptz,
    PRIMARY KEY (tree_id, number),
    UNIQUE (tree_id, transaction)
);

CREATE TABLE chain_troubles (
    environment text NOT NULL,
    currency_id smallint NOT NULL,
    message     text NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (environment, currency_id)
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
