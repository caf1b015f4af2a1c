-- Retention: months of the usage log are closed, summed up, archived and dropped (ledger/retention.py). Wallets, their
-- lines and the daily sums stay for good.
--
-- Once a month is gone nobody can tell whether a request of it was posted: so what comes later for a month that was
-- closed is refused, in this version and in those before, and posting sets it aside as a dead letter.
--
-- Not DETACH ... CONCURRENTLY: Postgres refuses it beside a default partition, which we keep, so that no request goes
-- unposted because its month has no partition. Dropping locks the log for milliseconds; who has to wait for that lock
-- gives up soon and tries again, because posting waits behind it.

CREATE TABLE farebox_retired_months (
    month          date PRIMARY KEY CONSTRAINT first_of_its_month CHECK (extract(day FROM month) = 1),
    requests       bigint,
    archive        text,
    archive_sha256 text CONSTRAINT sha256_is_hex CHECK (archive_sha256 ~ '^[0-9a-f]{64}$'),
    archive_bytes  bigint,
    closed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_at     timestamptz,
    CONSTRAINT archive_is_whole CHECK (num_nulls(archive, archive_sha256, archive_bytes) IN (0, 3)),
    CONSTRAINT summed_up_before_dropped CHECK (dropped_at IS NULL OR requests IS NOT NULL)
);
COMMENT ON TABLE farebox_retired_months IS 'months (UTC) of ai_usage_logs that are closed: nothing in them is added or changed any more';
COMMENT ON COLUMN farebox_retired_months.requests IS 'how many there were; null: not summed up yet';
COMMENT ON COLUMN farebox_retired_months.archive IS 'the name of the file that they are in; its SHA-256 is that of the file';
COMMENT ON COLUMN farebox_retired_months.dropped_at IS 'null: the requests are still there';

CREATE TABLE farebox_retired_usage (
    month        date NOT NULL REFERENCES farebox_retired_months ON DELETE CASCADE,
    wallet_id    uuid NOT NULL,
    requests     bigint NOT NULL,
    total_tokens numeric NOT NULL,
    cost         numeric NOT NULL,
    uncollected  numeric NOT NULL,
    kept         numeric NOT NULL,
    PRIMARY KEY (wallet_id, month)
);
CREATE INDEX farebox_retired_usage_month ON farebox_retired_usage (month);
COMMENT ON TABLE farebox_retired_usage IS 'what each wallet''s requests of a month came to: farebox audit goes by it when they are dropped';
COMMENT ON COLUMN farebox_retired_usage.kept IS 'refunded before a correction could give it back';

-- No policy: nobody but the owner.
ALTER TABLE farebox_retired_months ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_retired_usage ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION farebox_uuid7_at(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION farebox_uuid7_at IS 'the bound below which are all version 7 UUIDs made before that moment';

CREATE FUNCTION farebox_usage_dropped_before() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT coalesce((max(month) + interval '1 month') AT TIME ZONE 'UTC', 'epoch')
    FROM farebox_retired_months WHERE dropped_at IS NOT NULL
$$;
COMMENT ON FUNCTION farebox_usage_dropped_before IS 'no request from before is in ai_usage_logs any more: months are dropped the oldest first';

CREATE FUNCTION farebox_usage_partition(month date) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT 'ai_usage_logs_' || to_char(month::timestamp, 'YYYY_MM')
$$;

-- What comes for a month without a partition goes to the default one: the only place where this is asked, so that
-- posting pays nothing for it.
CREATE FUNCTION farebox_refuse_closed_month() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    closed_before timestamptz := (SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' FROM farebox_retired_months);
BEGIN
    IF TG_OP <> 'INSERT' OR NEW.created_at < closed_before THEN
        RAISE EXCEPTION 'usage from before % is closed: it is not kept for longer', (closed_before AT TIME ZONE 'UTC')::date
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER closed BEFORE INSERT ON ai_usage_logs_default FOR EACH ROW EXECUTE FUNCTION farebox_refuse_closed_month();

-- The locks below are waited for a quarter of a second, because posting waits behind who waits for them. A vacuum holds
-- its lock for longer, and autovacuum gives way only to who has waited for a second: so we wait for it first, with a lock
-- of the same kind, which is in the way of nobody else. Always in this order: wallets, the default partition, a month.
CREATE FUNCTION farebox_wait_for_vacuum(VARIADIC tables text[]) RETURNS void LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', name);
    END LOOP;
END $$;

-- As in 0005, for any month, and never waiting for long. Locks are taken in posting's order: wallets, then the log.
CREATE FUNCTION farebox_make_usage_partition(month date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
    month_start timestamptz := month::timestamp AT TIME ZONE 'UTC';
    month_end   timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
    part        text := farebox_usage_partition(month);
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Made beside the table and attached after: rows that meanwhile went to the default partition move first.
    EXECUTE format('CREATE TABLE %I (LIKE ai_usage_logs INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
    PERFORM farebox_wait_for_vacuum('ai_wallets', 'ai_usage_logs_default');
    LOCK TABLE ai_wallets IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE ai_usage_logs_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM ai_usage_logs_default WHERE id >= %L AND id < %L RETURNING *)'
        ' INSERT INTO %I SELECT * FROM moved', farebox_uuid7_at(month_start), farebox_uuid7_at(month_end), part);
    EXECUTE format('ALTER TABLE ai_usage_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, month_start, month_end);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION farebox_ensure_usage_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('farebox_ensure_usage_partitions'));
    FOR i IN 0..months_ahead LOOP
        IF farebox_make_usage_partition((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i))::date) THEN
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION farebox_close_usage_month(the_month date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
BEGIN
    PERFORM farebox_make_usage_partition(the_month);
    PERFORM farebox_wait_for_vacuum('ai_usage_logs_default', farebox_usage_partition(the_month));
    -- Waits for those who write there, and keeps out those who come: they see that the month is closed.
    LOCK TABLE ai_usage_logs_default IN SHARE ROW EXCLUSIVE MODE;
    IF (SELECT id FROM ai_usage_logs_default ORDER BY id LIMIT 1)
        < farebox_uuid7_at((the_month + interval '1 month') AT TIME ZONE 'UTC') THEN
        RETURN false;
    END IF;
    INSERT INTO farebox_retired_months (month) VALUES (the_month);
    EXECUTE format('CREATE TRIGGER closed BEFORE INSERT OR UPDATE OR DELETE ON %I'
        ' FOR EACH ROW EXECUTE FUNCTION farebox_refuse_closed_month()', farebox_usage_partition(the_month));
    RETURN true;
END $$;
COMMENT ON FUNCTION farebox_close_usage_month IS 'false: an older request came meanwhile, and its month is to be closed first';

CREATE FUNCTION farebox_reopen_usage_months(kept_from date) RETURNS integer LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
DECLARE
    reopened date;
    found    integer := 0;
BEGIN
    FOR reopened IN SELECT month FROM farebox_retired_months WHERE dropped_at IS NULL AND month >= kept_from LOOP
        PERFORM farebox_wait_for_vacuum(farebox_usage_partition(reopened));
        EXECUTE format('DROP TRIGGER closed ON %I', farebox_usage_partition(reopened));
        DELETE FROM farebox_retired_months WHERE month = reopened;
        found := found + 1;
    END LOOP;
    RETURN found;
END $$;
COMMENT ON FUNCTION farebox_reopen_usage_months IS 'undoes the closing of months that are to be kept after all';

CREATE FUNCTION farebox_sum_up_usage_month(the_month date) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM farebox_retired_usage WHERE month = the_month;
    EXECUTE format('INSERT INTO farebox_retired_usage (month, wallet_id, requests, total_tokens, cost, uncollected, kept)'
        ' SELECT $1, wallet_id, count(*), sum(total_tokens), sum(cost), sum(uncollected),'
        ' sum(coalesce((metadata #>> ''{recovered,kept}'')::numeric, 0)) FROM %I GROUP BY wallet_id',
        farebox_usage_partition(the_month)) USING the_month;
    UPDATE farebox_retired_months
    SET requests = (SELECT coalesce(sum(requests), 0) FROM farebox_retired_usage WHERE month = the_month)
    WHERE month = the_month AND dropped_at IS NULL;
    RETURN (SELECT requests FROM farebox_retired_months WHERE month = the_month);
END $$;

CREATE FUNCTION farebox_drop_usage_month(the_month date) RETURNS void LANGUAGE plpgsql SET lock_timeout = '250ms' AS $$
BEGIN
    PERFORM farebox_wait_for_vacuum('ai_usage_logs_default', farebox_usage_partition(the_month));
    EXECUTE format('DROP TABLE %I', farebox_usage_partition(the_month));
    UPDATE farebox_retired_months SET dropped_at = clock_timestamp() WHERE month = the_month AND dropped_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% was never closed', the_month;
    END IF;
END $$;
COMMENT ON FUNCTION farebox_drop_usage_month IS 'refused by a CHECK where it was not summed up';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['make_usage_partition', 'close_usage_month', 'reopen_usage_months', 'sum_up_usage_month',
        'drop_usage_month'] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION farebox_%s FROM PUBLIC', name);
    END LOOP;
END $$;
