"""A class of calls for what only a sandbox has; tiles of the log only grow."""

from alembic import op

revision = "0016"
down_revision = "0015"

# The application role may add to a tile that is not full, and to nothing else of the log.
STATEMENTS = """
CREATE FUNCTION log_tile_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes THEN
        RAISE EXCEPTION 'a tile of the log only grows' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER log_tile_grows BEFORE UPDATE ON log_tiles
    FOR EACH ROW EXECUTE FUNCTION log_tile_grows();

ALTER TABLE rate_limits
    DROP CONSTRAINT rate_limits_call_class_check,
    ADD CONSTRAINT rate_limits_call_class_check CHECK (
        call_class IN ('submit', 'read', 'proof', 'settings', 'session', 'example', 'sandbox'))
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
