-- Wallets, credits, and what is read about keys. Money comes in as numeric dollars.

-- name: insert_wallet
-- Make a user's wallet unless there is one.
INSERT INTO ai_wallets (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING

-- name: wallet_of_user
-- A user's wallet.
SELECT id, user_id, balance, overdraft, version, is_frozen FROM ai_wallets WHERE user_id = $1

-- name: wallet_states
-- Wallets by id.
SELECT id, user_id, balance, overdraft, version, is_frozen FROM ai_wallets WHERE id = ANY($1::uuid[])

-- name: wallets_changed
-- A page of the wallets changed since a moment. Read in full every sweep: an index on updated_at would be rewritten by every debit.
SELECT id, user_id, balance, overdraft, version, is_frozen FROM ai_wallets
WHERE updated_at >= $1 AND id > $2 ORDER BY id LIMIT $3

-- name: key_states
-- Keys by id, with the wallet they spend from, and what was spent with them where they have a budget. Days are UTC.
SELECT k.id, w.id AS wallet_id, k.user_id, k.is_active, k.expires_at, k.rate_limit_per_minute, k.rate_limit_per_day, k.version,
    k.is_frozen, k.allowed_models, k.allowed_routes, k.allowed_ips, k.tokens_per_minute, k.max_concurrent_requests,
    k.budget_daily, k.budget_monthly, k.budget_total, spent.*
FROM ai_api_keys k
JOIN ai_wallets w ON w.user_id = k.user_id
CROSS JOIN (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS clock
CROSS JOIN LATERAL (
    -- No budget, no rows: the index is then not looked at. More than a budget can be is as good as that.
    SELECT today - DATE '1970-01-01' AS spent_day_number,
        (extract(year FROM today) * 12 + extract(month FROM today))::integer AS spent_month_number,
        least(coalesce(sum(cost - uncollected) FILTER (WHERE day = today), 0), 9000000) AS spent_day,
        least(coalesce(sum(cost - uncollected) FILTER (WHERE day >= date_trunc('month', today)), 0), 9000000) AS spent_month,
        least(coalesce(sum(cost - uncollected), 0), 9000000) AS spent_total
    FROM ai_usage_daily
    WHERE api_key_id = k.id AND coalesce(k.budget_daily, k.budget_monthly, k.budget_total) IS NOT NULL
) AS spent
WHERE k.id = ANY($1::uuid[])

-- name: keys_changed
-- A page of the keys changed since a moment.
SELECT k.id, w.id AS wallet_id, k.user_id, k.is_active, k.expires_at, k.rate_limit_per_minute, k.rate_limit_per_day, k.version,
    k.is_frozen, k.allowed_models, k.allowed_routes, k.allowed_ips, k.tokens_per_minute, k.max_concurrent_requests,
    k.budget_daily, k.budget_monthly, k.budget_total, spent.*
FROM ai_api_keys k
JOIN ai_wallets w ON w.user_id = k.user_id
CROSS JOIN (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS clock
CROSS JOIN LATERAL (
    -- No budget, no rows: the index is then not looked at. More than a budget can be is as good as that.
    SELECT today - DATE '1970-01-01' AS spent_day_number,
        (extract(year FROM today) * 12 + extract(month FROM today))::integer AS spent_month_number,
        least(coalesce(sum(cost - uncollected) FILTER (WHERE day = today), 0), 9000000) AS spent_day,
        least(coalesce(sum(cost - uncollected) FILTER (WHERE day >= date_trunc('month', today)), 0), 9000000) AS spent_month,
        least(coalesce(sum(cost - uncollected), 0), 9000000) AS spent_total
    FROM ai_usage_daily
    WHERE api_key_id = k.id AND coalesce(k.budget_daily, k.budget_monthly, k.budget_total) IS NOT NULL
) AS spent
WHERE k.updated_at >= $1 AND k.id > $2 ORDER BY k.id LIMIT $3

-- name: keys_by_prefix
-- Candidates for a presented key, active or not: whether a key is good is asked at admission.
SELECT k.id, k.user_id, w.id AS wallet_id, k.key_prefix, k.key_hash
FROM ai_api_keys k JOIN ai_wallets w ON w.user_id = k.user_id
WHERE k.key_prefix = ANY($1::text[])

-- name: lock_wallet
-- One wallet, locked until the end of the transaction.
SELECT id, user_id, balance, overdraft, version, is_frozen FROM ai_wallets WHERE id = $1 FOR NO KEY UPDATE

-- name: record
-- Add one line to a locked wallet's history and move its balance.
WITH moved AS (
    UPDATE ai_wallets SET balance = balance + $3, transaction_count = transaction_count + 1
    WHERE id = $1
    RETURNING id, user_id, transaction_count, balance
)
INSERT INTO ai_transactions (wallet_id, user_id, seq, type, amount, balance_before, balance_after, description, metadata)
SELECT id, user_id, transaction_count, $2, $3, balance - $3, balance, $4, $5::jsonb FROM moved
RETURNING id, wallet_id, seq, type, amount, balance_before, balance_after

-- name: ensure_partitions
-- Make the partitions of this month and of some months ahead; returns how many were missing.
SELECT farebox_ensure_usage_partitions($1)
