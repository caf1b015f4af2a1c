-- One row per admitted request, in monthly partitions.
--
-- The id is the request id, a UUID version 7, which carries its own time; that time is the partition key. One id can
-- therefore only ever fall into one partition, and the primary key makes it unique over all of them.

CREATE FUNCTION farebox_uuid7_time(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT to_timestamp(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint::float8 / 1000)
$$;
COMMENT ON FUNCTION farebox_uuid7_time IS 'when a version 7 UUID was made, to the millisecond';

CREATE TABLE ai_usage_logs (
    id                  uuid NOT NULL,
    user_id             uuid NOT NULL,
    api_key_id          uuid NOT NULL,  -- no foreign key, nor has pricing_id: what was used outlives the key and the price
    wallet_id           uuid NOT NULL,
    pricing_id          uuid,
    model               text NOT NULL,
    endpoint            text NOT NULL,
    input_tokens        bigint NOT NULL DEFAULT 0 CONSTRAINT input_tokens_not_negative CHECK (input_tokens >= 0),
    cached_input_tokens bigint NOT NULL DEFAULT 0 CONSTRAINT cached_input_tokens_not_negative CHECK (cached_input_tokens >= 0),
    cache_write_tokens  bigint NOT NULL DEFAULT 0 CONSTRAINT cache_write_tokens_not_negative CHECK (cache_write_tokens >= 0),
    output_tokens       bigint NOT NULL DEFAULT 0 CONSTRAINT output_tokens_not_negative CHECK (output_tokens >= 0),
    reasoning_tokens    bigint NOT NULL DEFAULT 0 CONSTRAINT reasoning_tokens_not_negative CHECK (reasoning_tokens >= 0),
    total_tokens        bigint NOT NULL,
    cost                numeric(20,9) NOT NULL CONSTRAINT cost_in_range CHECK (cost BETWEEN 0 AND 9000000),
    uncollected         numeric(20,9) NOT NULL DEFAULT 0 CONSTRAINT uncollected_within_cost CHECK (uncollected BETWEEN 0 AND cost),
    usage_source        text NOT NULL DEFAULT 'none'
        CONSTRAINT usage_source_known CHECK (usage_source IN ('reported', 'partial', 'tokenized', 'estimated', 'none')),
    end_reason          text NOT NULL DEFAULT '',
    status_code         integer NOT NULL,
    response_time_ms    integer NOT NULL CONSTRAINT response_time_not_negative CHECK (response_time_ms >= 0),
    error_message       text,
    metadata            jsonb NOT NULL DEFAULT '{}',
    created_at          timestamptz NOT NULL,
    PRIMARY KEY (id, created_at),
    FOREIGN KEY (wallet_id, user_id) REFERENCES ai_wallets (id, user_id),
    CONSTRAINT created_when_its_id_was CHECK (created_at = farebox_uuid7_time(id)),
    CONSTRAINT total_is_the_sum_of_buckets CHECK (
        total_tokens = input_tokens + cached_input_tokens + cache_write_tokens + output_tokens + reasoning_tokens)
) PARTITION BY RANGE (created_at);
COMMENT ON COLUMN ai_usage_logs.input_tokens IS 'without cached and cache-written ones: the five buckets are disjoint';
COMMENT ON COLUMN ai_usage_logs.output_tokens IS 'without reasoning ones: the five buckets are disjoint';
COMMENT ON COLUMN ai_usage_logs.uncollected IS 'what the wallet could not pay; cost - uncollected was debited';

CREATE INDEX ai_usage_logs_user ON ai_usage_logs (user_id, created_at DESC);
CREATE INDEX ai_usage_logs_key ON ai_usage_logs (api_key_id, created_at DESC);
CREATE INDEX ai_usage_logs_model ON ai_usage_logs (model, created_at DESC) INCLUDE (cost);
CREATE TABLE ai_usage_logs_default PARTITION OF ai_usage_logs DEFAULT;

CREATE FUNCTION farebox_ensure_usage_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month_start timestamptz;
    month_end   timestamptz;
    part        text;
    made        integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('farebox_ensure_usage_partitions'));
    FOR i IN 0..months_ahead LOOP
        month_start := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        month_end := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
        part := 'ai_usage_logs_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        -- Made beside the table and attached after: rows that meanwhile went to the default partition move first.
        EXECUTE format('CREATE TABLE %I (LIKE ai_usage_logs INCLUDING ALL)', part);
        EXECUTE format('WITH moved AS (DELETE FROM ai_usage_logs_default WHERE created_at >= %L AND created_at < %L RETURNING *)'
            ' INSERT INTO %I SELECT * FROM moved', month_start, month_end, part);
        EXECUTE format('ALTER TABLE ai_usage_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, month_start, month_end);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION farebox_ensure_usage_partitions IS 'makes the partitions of this month and the given number of months after it';
SELECT farebox_ensure_usage_partitions(3);

CREATE TABLE farebox_dead_letters (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   text NOT NULL,
    payload    text NOT NULL,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX farebox_dead_letters_once ON farebox_dead_letters (event_id, md5(payload));
COMMENT ON TABLE farebox_dead_letters IS 'usage events that could not be posted, kept whole so that they can be put right by hand';
