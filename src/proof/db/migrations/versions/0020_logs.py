"""An environment has several logs over time: one that grows, and those that were retired."""

from alembic import op

revision = "0020"
down_revision = "0019"

# The first log of an environment, in terms of a column that names the environment.
FIRST_LOG = "CASE environment WHEN 'production' THEN 1 WHEN 'sandbox' THEN 2 END"

# Changing a column's type writes a table anew once; an UPDATE would leave every row twice.
REKEYED = ("log_heads", "log_keys", "log_entries", "log_tiles", "log_checkpoints")

LOGS = """
CREATE TABLE logs (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment text NOT NULL,
    number      integer NOT NULL CHECK (number > 0),
    label       text NOT NULL UNIQUE,
    origin      text NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz,
    reason      text,
    final_size  bigint CHECK (final_size > 0),
    final_root  bytea CHECK (length(final_root) = 32),
    final_note  text,
    kept_size   bigint CHECK (kept_size BETWEEN 0 AND final_size),
    UNIQUE (environment, number),
    CHECK (num_nulls(retired_at, reason, final_size, final_root, final_note, kept_size) IN (0, 6))
);

CREATE UNIQUE INDEX logs_current ON logs (environment) WHERE retired_at IS NULL;

CREATE FUNCTION log_stays_retired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a retired log stays as it is' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER log_stays_retired BEFORE UPDATE OR DELETE ON logs
    FOR EACH ROW WHEN (OLD.retired_at IS NOT NULL) EXECUTE FUNCTION log_stays_retired();

INSERT INTO logs (id, environment, number, label, origin, created_at)
OVERRIDING SYSTEM VALUE
SELECT {first_log}, environment, 1, environment, origin,
    coalesce((SELECT min(created_at) FROM log_keys k WHERE k.environment = h.environment), now())
FROM log_heads h;

SELECT setval(pg_get_serial_sequence('logs', 'id'), 2);

ALTER TABLE log_keys ADD COLUMN label text;

UPDATE log_keys SET label = environment;

ALTER TABLE log_keys
    ALTER COLUMN label SET NOT NULL,
    ALTER COLUMN sealed DROP NOT NULL,
    ADD UNIQUE (label, role);

ALTER TABLE trees ADD COLUMN checkpoint_log_id integer;

UPDATE trees SET checkpoint_log_id = {first_log} WHERE checkpoint_size IS NOT NULL;

ALTER TABLE trees ADD CHECK ((checkpoint_size IS NULL) = (checkpoint_log_id IS NULL))
"""

AFTER = """
ALTER TABLE log_heads DROP COLUMN origin;

ALTER TABLE log_entries
    DROP CONSTRAINT log_entries_round_id_key,
    ADD UNIQUE (round_id, log_id),
    ALTER COLUMN round_id DROP NOT NULL,
    ALTER COLUMN root DROP NOT NULL,
    ALTER COLUMN plain_root DROP NOT NULL,
    ADD COLUMN entry bytea CHECK (length(entry) BETWEEN 65 AND 65535),
    ADD CHECK (num_nulls(round_id, root, plain_root) = CASE WHEN entry IS NULL THEN 0 ELSE 3 END)
"""


def upgrade() -> None:
    for statement in LOGS.format(first_log=FIRST_LOG).strip().split(";\n\n"):
        op.execute(statement)
    for table in REKEYED:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN environment TYPE integer USING {FIRST_LOG}")
        op.execute(f"ALTER TABLE {table} RENAME COLUMN environment TO log_id")
        op.execute(f"ALTER TABLE {table} ADD FOREIGN KEY (log_id) REFERENCES logs")
    for statement in AFTER.strip().split(";\n\n"):
        op.execute(statement)
