"""A plain root beside each root, and entries of the log that hold both."""

from alembic import op

from proof.db.migrate import OldLogError

revision = "0019"
down_revision = "0018"

# Entries that were signed as 32 bytes cannot become entries of 64.
SEALED = "SELECT EXISTS (SELECT FROM rounds WHERE sealed_at IS NOT NULL)"

STATEMENTS = """
ALTER TABLE rounds
    ADD COLUMN plain_root bytea CHECK (length(plain_root) = 32),
    ADD CHECK ((root IS NULL) = (plain_root IS NULL));

ALTER TABLE trees
    ADD COLUMN plain_root bytea CHECK (length(plain_root) = 32),
    ADD CHECK ((root IS NULL) = (plain_root IS NULL));

ALTER TABLE round_tiles ADD COLUMN plain bytea CHECK (length(plain) = length(hashes));

ALTER TABLE round_tiles ALTER COLUMN plain SET STORAGE EXTERNAL;

ALTER TABLE tree_tiles ADD COLUMN plain bytea CHECK (length(plain) = length(hashes));

ALTER TABLE tree_tiles ALTER COLUMN plain SET STORAGE EXTERNAL;

ALTER TABLE log_entries ADD COLUMN plain_root bytea NOT NULL CHECK (length(plain_root) = 32)
"""


def upgrade() -> None:
    if op.get_bind().exec_driver_sql(SEALED).scalar():
        raise OldLogError(
            "this data folder is of the old form: its log holds entries of 32 bytes, one root each, and"
            " what is signed cannot become entries of two. Nothing was changed. Keep it with the version"
            " that wrote it, which goes on serving its proofs, and start this one with a new data folder"
            " (--data, or another PROOF_DATABASE_URL)"
        )
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
