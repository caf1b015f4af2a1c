-- What past usage would have cost at other prices. Each query reads the CTE `tried` that price_trial.py puts before it.

-- name: tried
-- Per user and model what was charged and what it would have been. $1 since · $2 until (null: no end) · $3 models ·
-- $4 to $13 their prices in nano-dollars, in the order of accounts.rates.COLUMNS · $14 only this user (null: all).
-- The cost is that of metering/pricing.py: all kinds added up, divided once, half a nano-dollar rounded up, capped as a
-- charge is. What was free stays free, and a model without a new price keeps its old cost. In nano-dollars, exactly.
WITH offered AS (
    SELECT * FROM unnest(
        $3::text[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[],
        $11::numeric[], $12::numeric[], $13::numeric[])
        AS p (model, input, output, cached_input, cache_write, reasoning, audio_input, audio_output, image, audio_minute, fee)
), tried AS MATERIALIZED (
    SELECT u.user_id, u.model, count(*) AS requests,
        sum(u.cost) * 1000000000 AS charged,
        sum(CASE
            WHEN p.model IS NULL THEN u.cost * 1000000000
            WHEN u.usage_source = 'none' THEN 0
            ELSE least(
                p.fee + u.images * p.image + div(
                    60 * (u.input_tokens * p.input + u.cached_input_tokens * p.cached_input
                        + u.cache_write_tokens * p.cache_write + u.output_tokens * p.output
                        + u.reasoning_tokens * p.reasoning + u.audio_input_tokens * p.audio_input
                        + u.audio_output_tokens * p.audio_output)
                    + u.audio_ms * p.audio_minute + 30000, 60000),
                9000000000000000)
        END) AS would_be
    FROM ai_usage_logs u
    LEFT JOIN offered p ON p.model = u.model
    WHERE u.created_at >= $1 AND ($2::timestamptz IS NULL OR u.created_at < $2) AND ($14::uuid IS NULL OR u.user_id = $14)
    GROUP BY u.user_id, u.model
)

-- name: by_model
-- Every model, by name. $15 how many.
SELECT NULL::uuid AS user_id, model, sum(requests)::bigint AS requests, sum(charged) AS charged, sum(would_be) AS would_be
FROM tried GROUP BY model ORDER BY model LIMIT $15

-- name: by_user
-- Users, those first for whom it makes the largest difference. $15 how many.
SELECT user_id, NULL AS model, sum(requests)::bigint AS requests, sum(charged) AS charged, sum(would_be) AS would_be
FROM tried GROUP BY user_id ORDER BY abs(sum(would_be) - sum(charged)) DESC, user_id LIMIT $15

-- name: by_both
-- Every user and model, in this order. $15 how many; null: all.
SELECT user_id, model, requests, charged, would_be FROM tried ORDER BY user_id, model LIMIT $15
