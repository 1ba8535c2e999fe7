"""Refusals by the week, notices of endpoints, a class of calls for examples of webhooks."""

from alembic import op

revision = "0011"
down_revision = "0010"

# The application role owns no table, so what it may do to partitions is this function: weeks that are over
# are dropped, those to come are made. What the default partition caught meanwhile moves to its week.
# No foreign key: environments are never deleted, and attaching a week would lock them.
STATEMENTS = """
ALTER TABLE refusals RENAME TO refusals_before;

ALTER TABLE refusals_before RENAME CONSTRAINT
    refusals_minute_partner_environment_id_kind_reason_network_key TO refusals_before_key;

CREATE TABLE refusals (
    partner_environment_id integer NOT NULL,
    minute                 timestamptz NOT NULL,
    kind                   text NOT NULL,
    reason                 text NOT NULL,
    network                cidr,
    key_id                 text,
    count                  bigint NOT NULL,
    last_at                timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (minute, partner_environment_id, kind, reason, network, key_id)
) PARTITION BY RANGE (minute);

CREATE TABLE refusals_other PARTITION OF refusals DEFAULT;

INSERT INTO refusals (partner_environment_id, minute, kind, reason, network, count, last_at)
    SELECT partner_environment_id, minute, kind, reason, network, count, last_at FROM refusals_before;

DROP TABLE refusals_before;

CREATE FUNCTION keep_refusals(kept_from timestamptz, needed_until timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
SET lock_timeout = '2s' AS $$
DECLARE
    week timestamptz := date_trunc('week', least(kept_from, now()));
    known record;
    part text;
    changed integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(x'5245465553'::bigint) THEN
        RETURN 0;
    END IF;
    FOR known IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'refusals'::regclass AND c.relname ~ '^refusals_[0-9]{8}$'
          AND to_date(right(c.relname, 8), 'YYYYMMDD') < week::date
    LOOP
        EXECUTE format('DROP TABLE %I', known.relname);
        changed := changed + 1;
    END LOOP;
    DELETE FROM refusals_other WHERE minute < week;
    FOR week IN
        SELECT * FROM generate_series(week, least(needed_until, now() + interval '90 days'), '7 days')
    LOOP
        part := 'refusals_' || to_char(week, 'YYYYMMDD');
        IF to_regclass(part) IS NULL AND (week > now() - interval '7 days' OR EXISTS (
            SELECT FROM refusals_other WHERE minute >= week AND minute < week + interval '7 days'))
        THEN
            EXECUTE format('CREATE TABLE %I (LIKE refusals INCLUDING ALL)', part);
            EXECUTE format(
                'WITH moved AS (DELETE FROM refusals_other WHERE minute >= %L AND minute < %L RETURNING *)'
                ' INSERT INTO %I SELECT * FROM moved', week, week + interval '7 days', part);
            EXECUTE format('ALTER TABLE refusals ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                part, week, week + interval '7 days');
            changed := changed + 1;
        END IF;
    END LOOP;
    RETURN changed;
END $$;

REVOKE ALL ON FUNCTION keep_refusals FROM PUBLIC;

SELECT keep_refusals((SELECT coalesce(min(minute), now()) FROM refusals), now() + interval '28 days');

ALTER TABLE webhook_endpoints
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN failures      integer NOT NULL DEFAULT 0;

CREATE TABLE webhook_notices (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id            uuid NOT NULL REFERENCES webhook_endpoints,
    partner_environment_id integer NOT NULL,
    purpose                text NOT NULL,
    host                   text NOT NULL,
    change                 text NOT NULL CHECK (change IN ('opened', 'disabled')),
    reason                 text NOT NULL,
    at                     timestamptz NOT NULL,
    audience               text NOT NULL CHECK (audience IN ('operator', 'partner')),
    attempts               smallint NOT NULL DEFAULT 0,
    due_at                 timestamptz NOT NULL,
    ended_at               timestamptz,
    outcome                text,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

CREATE INDEX webhook_notices_due ON webhook_notices (due_at) WHERE ended_at IS NULL;

CREATE INDEX webhook_notices_endpoint ON webhook_notices (endpoint_id, at);

ALTER TABLE rate_limits
    DROP CONSTRAINT rate_limits_call_class_check,
    ADD CONSTRAINT rate_limits_call_class_check
        CHECK (call_class IN ('submit', 'read', 'proof', 'settings', 'session', 'example'))
"""


def upgrade() -> None:
    for statement in STATEMENTS.strip().split(";\n\n"):
        op.execute(statement)
