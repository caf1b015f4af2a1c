-- Prices, dollars per 1,000 tokens.

-- name: active
-- Every row that may be in force, now or at a later date.
SELECT id, model, effective_from,
    input_price_per_1k_tokens AS input,
    coalesce(cached_input_price_per_1k_tokens, input_price_per_1k_tokens) AS cached_input,
    coalesce(cache_write_price_per_1k_tokens, input_price_per_1k_tokens) AS cache_write,
    output_price_per_1k_tokens AS output,
    coalesce(reasoning_price_per_1k_tokens, output_price_per_1k_tokens) AS reasoning,
    base_request_fee AS request_fee
FROM ai_pricing
WHERE is_active

-- name: offer
-- Give a model a price unless it ever had one; an operator's own rows are never touched.
INSERT INTO ai_pricing (model, input_price_per_1k_tokens, output_price_per_1k_tokens)
SELECT $1, $2, $2
WHERE NOT EXISTS (SELECT FROM ai_pricing WHERE model = $1)
