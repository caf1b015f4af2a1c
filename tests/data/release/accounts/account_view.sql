-- What a user sees of wallet, transactions and usage. Runs as the user (accounts/as_user.py).
--
-- $1 user · $2, $3 from and before · $4 model · $5 key; null is no bound. Bounds are coalesced, not OR-ed: an index
-- can then be searched for them, and partitions left out. Pages: $6, $7 the row before which they begin ·
-- $8 how many · $9 how many to skip.

-- name: wallet
-- The user's wallet.
SELECT id, balance, overdraft, currency, stripe_customer_id, version FROM ai_wallets WHERE user_id = $1

-- name: transactions
-- A page of lines, newest first; only usage has a model and a key. A correction is shown with the request it corrects.
SELECT id, seq, created_at, type, amount, description, balance_before, balance_after, coalesce(request_id, corrects) AS request_id
FROM ai_transactions
WHERE user_id = $1
    AND created_at >= coalesce($2::timestamptz, '-infinity') AND created_at < coalesce($3::timestamptz, 'infinity')
    AND ($4::text IS NULL OR metadata->>'model' = $4)
    AND ($5::uuid IS NULL OR metadata->>'api_key_id' = ($5::uuid)::text)
    AND (created_at, seq) < (coalesce($6::timestamptz, 'infinity'), coalesce($7::bigint, 0))
ORDER BY created_at DESC, seq DESC
LIMIT $8 OFFSET $9

-- name: usage
-- A page of requests, newest first.
SELECT id, created_at, api_key_id, model, endpoint,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    audio_input_tokens, audio_output_tokens, total_tokens, images, audio_ms,
    cost, uncollected, usage_source, end_reason, status_code, response_time_ms, error_message
FROM ai_usage_logs
WHERE user_id = $1
    AND created_at >= coalesce($2::timestamptz, '-infinity') AND created_at < coalesce($3::timestamptz, 'infinity')
    AND ($4::text IS NULL OR model = $4)
    AND ($5::uuid IS NULL OR api_key_id = $5)
    AND (created_at, id) < (coalesce($6::timestamptz, 'infinity'), coalesce($7::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT $8 OFFSET $9

-- name: statistics
-- Requests, tokens and cost by model: whole days from their sums, $2 to before $3, and what is left at the two ends,
-- $6 to before $7 and $8 to before $9, from the requests.
SELECT model, sum(requests)::bigint AS requests, sum(tokens) AS tokens, sum(cost) AS cost
FROM (
    SELECT model, requests, total_tokens AS tokens, cost
    FROM ai_usage_daily
    WHERE user_id = $1
        AND day >= coalesce($2::date, '-infinity') AND day < coalesce($3::date, 'infinity')
        AND ($4::text IS NULL OR model = $4)
        AND ($5::uuid IS NULL OR api_key_id = $5)
    UNION ALL
    SELECT model, 1, total_tokens, cost
    FROM ai_usage_logs
    WHERE user_id = $1 AND created_at >= $6::timestamptz AND created_at < $7::timestamptz
        AND ($4 IS NULL OR model = $4)
        AND ($5 IS NULL OR api_key_id = $5)
    UNION ALL
    SELECT model, 1, total_tokens, cost
    FROM ai_usage_logs
    WHERE user_id = $1 AND created_at >= $8::timestamptz AND created_at < $9::timestamptz
        AND ($4 IS NULL OR model = $4)
        AND ($5 IS NULL OR api_key_id = $5)
) used
GROUP BY model
ORDER BY model

-- name: breakdown
-- The same, also by key and by day; all three null is the sum of everything. Of each at most $10.
SELECT model, api_key_id, day, requests, tokens, cost
FROM (
    -- days by their order, the others by their cost: within one kind of group, day is null for all or for none
    SELECT *, row_number() OVER (
        PARTITION BY grouped.kind ORDER BY day DESC NULLS LAST, cost DESC, model, api_key_id) AS place
    FROM (
        SELECT model, api_key_id, day, grouping(model, api_key_id, day) AS kind,
            sum(requests)::bigint AS requests, sum(tokens) AS tokens, sum(cost) AS cost
        FROM (
            SELECT model, api_key_id, day, requests, total_tokens AS tokens, cost
            FROM ai_usage_daily
            WHERE user_id = $1
                AND day >= coalesce($2::date, '-infinity') AND day < coalesce($3::date, 'infinity')
                AND ($4::text IS NULL OR model = $4)
                AND ($5::uuid IS NULL OR api_key_id = $5)
            UNION ALL
            SELECT model, api_key_id, (created_at AT TIME ZONE 'UTC')::date, 1, total_tokens, cost
            FROM ai_usage_logs
            WHERE user_id = $1 AND created_at >= $6::timestamptz AND created_at < $7::timestamptz
                AND ($4 IS NULL OR model = $4)
                AND ($5 IS NULL OR api_key_id = $5)
            UNION ALL
            SELECT model, api_key_id, (created_at AT TIME ZONE 'UTC')::date, 1, total_tokens, cost
            FROM ai_usage_logs
            WHERE user_id = $1 AND created_at >= $8::timestamptz AND created_at < $9::timestamptz
                AND ($4 IS NULL OR model = $4)
                AND ($5 IS NULL OR api_key_id = $5)
        ) used
        GROUP BY GROUPING SETS ((), (model), (api_key_id), (day))
    ) grouped
) ranked
WHERE place <= $10
ORDER BY kind, place
