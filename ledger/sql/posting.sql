-- Posting usage. All of it runs in one transaction per batch; see ledger/posting.py.

-- name: begin_posting
-- Say that this transaction posts. And look into indexes only: a plan that was made while a table was empty, and is kept
-- while it grows, would read all of it for every batch. A plan for every batch instead would cost half as much again as
-- posting it; so would compiling it, which many partitions would make seem worth it.
SELECT set_config('farebox.posting', '1', true), set_config('enable_seqscan', 'off', true),
    set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true)

-- name: lock_wallets
-- Lock the batch's wallets, always in id order so that writers queue and never deadlock.
SELECT id
FROM ai_wallets
WHERE id = ANY($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE

-- name: states_after
-- The wallets as they are now, in nano-dollars: exact, and read faster than numerics.
SELECT id, user_id, (balance * 1000000000)::bigint AS balance_nanos, (overdraft * 1000000000)::bigint AS overdraft_nanos,
    version, is_frozen
FROM ai_wallets WHERE id = ANY($1::uuid[])

-- name: post_usage
-- Post what is not posted yet; each request takes its cost or what its wallet has left. Returns how many were new.
WITH given AS (
    SELECT DISTINCT ON (request_id) *, farebox_uuid7_time(request_id) AS created_at
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
        $15::bigint[], $16::bigint[],
        $17::bigint[], $18::text[], $19::text[], $20::int[], $21::int[], $22::text[], $23::text[]
    ) WITH ORDINALITY AS e(
        request_id, user_id, wallet_id, api_key_id, pricing_id, model, endpoint,
        input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        audio_input_tokens, audio_output_tokens, images, audio_ms,
        cost_nanos, usage_source, end_reason, status_code, response_time_ms, error_message, metadata,
        place)
    ORDER BY request_id, place
), fresh AS (
    -- Multiplied, not divided: a product of numerics is exact.
    SELECT *,
        input_tokens + cached_input_tokens + cache_write_tokens + output_tokens + reasoning_tokens
            + audio_input_tokens + audio_output_tokens AS total_tokens,
        cost_nanos * 0.000000001 AS cost
    FROM given
    -- OFFSET 0: one look at one partition's index for each request, never a join with the whole log.
    -- The third condition says nothing new. But a partition that was empty when it was analyzed makes every index that has
    -- a created_at cost the same, and one of the others would be read from end to end for each request; with it the
    -- primary key, which answers all three, costs less whatever the statistics say.
    WHERE NOT EXISTS (
        SELECT FROM ai_usage_logs logged
        WHERE logged.id = given.request_id AND logged.created_at = given.created_at
            AND (logged.id, logged.created_at) >= (given.request_id, given.created_at)
        OFFSET 0)
), running AS (
    SELECT fresh.*, w.balance, w.transaction_count,
        greatest(0, w.balance + w.overdraft) AS room,
        sum(cost) OVER (PARTITION BY fresh.wallet_id ORDER BY request_id) AS cost_so_far
    FROM fresh JOIN ai_wallets w ON w.id = fresh.wallet_id
), clamped AS (
    SELECT *, least(cost_so_far, room) - least(cost_so_far - cost, room) AS paid
    FROM running
), numbered AS (
    SELECT *,
        balance - sum(paid) OVER so_far AS balance_after,
        transaction_count + count(*) FILTER (WHERE paid > 0) OVER so_far AS seq
    FROM clamped
    WINDOW so_far AS (PARTITION BY wallet_id ORDER BY request_id)
), logged AS (
    INSERT INTO ai_usage_logs (
        id, user_id, wallet_id, api_key_id, pricing_id, model, endpoint,
        input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        audio_input_tokens, audio_output_tokens, images, audio_ms, total_tokens,
        cost, uncollected, usage_source, end_reason, status_code, response_time_ms, error_message, metadata, created_at)
    SELECT
        request_id, user_id, wallet_id, api_key_id, pricing_id, model, endpoint,
        input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        audio_input_tokens, audio_output_tokens, images, audio_ms, total_tokens,
        cost, cost - paid, usage_source, end_reason, status_code, response_time_ms, error_message, metadata::jsonb, created_at
    FROM numbered
    RETURNING id
), transacted AS (
    -- Its id is its request's, with the last digits turned over: so no two are the same, the index grows at one end, and
    -- no random bytes are read.
    INSERT INTO ai_transactions (
        id, user_id, wallet_id, seq, amount, type, description, balance_before, balance_after, request_id, metadata)
    SELECT
        (left(request_id::text, 24) || translate(right(request_id::text, 12), '0123456789abcdef', 'fedcba9876543210'))::uuid,
        user_id, wallet_id, seq, -paid, 'usage', 'usage: ' || model, balance_after + paid, balance_after, request_id,
        jsonb_build_object(
            'model', model, 'endpoint', endpoint, 'api_key_id', api_key_id, 'pricing_id', pricing_id,
            'total_tokens', total_tokens, 'usage_source', usage_source, 'end_reason', end_reason)
    FROM numbered
    WHERE paid > 0
    ORDER BY wallet_id, seq
), debited AS (
    UPDATE ai_wallets w
    SET balance = w.balance - d.paid, transaction_count = w.transaction_count + d.transactions
    FROM (SELECT wallet_id, sum(paid) AS paid, count(*) AS transactions FROM numbered WHERE paid > 0 GROUP BY wallet_id) d
    WHERE w.id = d.wallet_id
)
SELECT count(*) FROM logged

-- name: bury
-- Keep an event that cannot be posted; once, however often it is tried.
INSERT INTO farebox_dead_letters (event_id, payload, reason) VALUES ($1, $2, $3)
ON CONFLICT (event_id, md5(payload)) DO NOTHING

-- name: touch_keys
-- Note when keys were last used: once a minute per key at most, and never waiting for a locked row.
UPDATE ai_api_keys k
SET last_used_at = due.used_at
FROM (
    SELECT keys.id, used.used_at
    FROM ai_api_keys keys
    JOIN unnest($1::uuid[], $2::timestamptz[]) AS used(id, used_at) ON used.id = keys.id
    WHERE keys.last_used_at IS NULL OR keys.last_used_at <= used.used_at - interval '1 minute'
    FOR NO KEY UPDATE OF keys SKIP LOCKED
) due
WHERE k.id = due.id
