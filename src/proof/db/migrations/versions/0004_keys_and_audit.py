"""Session signing keys; the chain over the audit log, and its heads that entered the timestamp log."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
CREATE TABLE signing_keys (
    id          uuid PRIMARY KEY,
    environment text NOT NULL CHECK (environment IN ('production', 'sandbox')),
    sealed      bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    retired_at  timestamptz
);

CREATE UNIQUE INDEX signing_keys_newest ON signing_keys (environment) WHERE retired_at IS NULL;

CREATE TABLE audit_chain (
    position bigint PRIMARY KEY CHECK (position > 0),
    entry_id bigint NOT NULL UNIQUE REFERENCES audit_log,
    hash     bytea NOT NULL UNIQUE CHECK (length(hash) = 32)
);

CREATE TABLE audit_heads (
    position     bigint PRIMARY KEY REFERENCES audit_chain,
    submitted_at timestamptz NOT NULL
);

CREATE TABLE audit_unchained (
    entry_id bigint PRIMARY KEY
);

INSERT INTO audit_unchained SELECT id FROM audit_log;

CREATE FUNCTION audit_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unchained (entry_id) VALUES (NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER audit_written AFTER INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_written();

CREATE FUNCTION has_canonical_form(value jsonb) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT value IS NULL OR NOT (
        jsonb_path_exists(value, 'strict $.** ? (@.type() == "number")
            ? (@ != @.floor() || @ > 9007199254740991 || @ < -9007199254740991)')
        OR jsonb_path_exists(value, 'lax $.** ? (@.type() == "object").keyvalue().key
            ? (!(@ like_regex "^[ -~]*$"))')
    ) $$;

ALTER TABLE audit_log ADD CHECK (has_canonical_form(before) AND has_canonical_form(after));

INSERT INTO partners (id, name, contact_email)
    VALUES ('ptr_system', 'This installation', 'nobody@localhost.invalid');

INSERT INTO partner_environments (id, partner_id, environment, widget_id)
    OVERRIDING SYSTEM VALUE VALUES (0, 'ptr_system', 'production', 'wdg_system')
"""


def upgrade() -> None:
    for statement in filter(None, STATEMENTS.strip().split(";\n\n")):
        op.execute(statement)
