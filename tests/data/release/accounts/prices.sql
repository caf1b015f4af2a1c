-- Prices, in dollars. A row that is there is never rewritten but to switch it off: usage refers to it.

-- name: active
-- Every row that may be in force, now or at a later date.
SELECT id, model, effective_from,
    input_price_per_1k_tokens AS input,
    coalesce(cached_input_price_per_1k_tokens, input_price_per_1k_tokens) AS cached_input,
    coalesce(cache_write_price_per_1k_tokens, input_price_per_1k_tokens) AS cache_write,
    output_price_per_1k_tokens AS output,
    coalesce(reasoning_price_per_1k_tokens, output_price_per_1k_tokens) AS reasoning,
    coalesce(audio_input_price_per_1k_tokens, input_price_per_1k_tokens) AS audio_input,
    coalesce(audio_output_price_per_1k_tokens, output_price_per_1k_tokens) AS audio_output,
    coalesce(image_price, 0) AS image,
    coalesce(audio_minute_price, 0) AS audio_minute,
    base_request_fee AS request_fee
FROM ai_pricing
WHERE is_active

-- name: offer
-- Give a model a price unless it ever had one; an operator's own rows are never touched.
INSERT INTO ai_pricing (model, input_price_per_1k_tokens, output_price_per_1k_tokens)
SELECT $1, $2, $2
WHERE NOT EXISTS (SELECT FROM ai_pricing WHERE model = $1)

-- name: rows
-- A page of rows, by model, the latest first. $1 model · $2 id; null is any · $3 only those in force · $4 how many · $5 skipped.
SELECT * FROM (
    SELECT id, model, is_active, effective_from, created_at,
        input_price_per_1k_tokens, output_price_per_1k_tokens, cached_input_price_per_1k_tokens,
        cache_write_price_per_1k_tokens, reasoning_price_per_1k_tokens, audio_input_price_per_1k_tokens,
        audio_output_price_per_1k_tokens, image_price, audio_minute_price, base_request_fee,
        -- A model without one in force gives null, which is not "no".
        coalesce(id = (
            SELECT latest.id FROM ai_pricing latest
            WHERE latest.model = priced.model AND latest.is_active AND latest.effective_from <= clock_timestamp()
            ORDER BY latest.effective_from DESC
            LIMIT 1), false) AS in_force
    FROM ai_pricing priced
    WHERE ($1::text IS NULL OR model = $1) AND ($2::uuid IS NULL OR id = $2)
) found
WHERE in_force OR NOT $3
ORDER BY model, effective_from DESC
LIMIT $4 OFFSET $5

-- name: insert
-- One more row; without a date it is in force from now on. Nothing comes back where the model has a row of that date.
INSERT INTO ai_pricing (
    model, effective_from, input_price_per_1k_tokens, output_price_per_1k_tokens, cached_input_price_per_1k_tokens,
    cache_write_price_per_1k_tokens, reasoning_price_per_1k_tokens, audio_input_price_per_1k_tokens,
    audio_output_price_per_1k_tokens, image_price, audio_minute_price, base_request_fee)
VALUES ($1, coalesce($2::timestamptz, clock_timestamp()), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (model, effective_from) DO NOTHING
RETURNING id

-- name: deactivate
-- Switch a row off; what was charged by it stays as it is. Nothing comes back where there is no such row, or it is off.
UPDATE ai_pricing SET is_active = false WHERE id = $1 AND is_active
RETURNING id
