-- Keys, as people and operators see them; never a hash. Budgets are numeric dollars.

-- name: insert
-- Keep a new key: its start and its hash, which key it replaces, its settings.
INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, rotated_from,
    name, rate_limit_per_minute, rate_limit_per_day, expires_at, allowed_models, allowed_routes, allowed_ips,
    tokens_per_minute, max_concurrent_requests, budget_daily, budget_monthly, budget_total)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
RETURNING id

-- name: change
-- All settings of a key, which the transaction has locked and read.
UPDATE ai_api_keys SET
    name = $3, rate_limit_per_minute = $4, rate_limit_per_day = $5, expires_at = $6,
    allowed_models = $7, allowed_routes = $8, allowed_ips = $9, tokens_per_minute = $10, max_concurrent_requests = $11,
    budget_daily = $12, budget_monthly = $13, budget_total = $14
WHERE id = $1 AND user_id = $2

-- name: of_user
-- A user's keys, newest first: all that are in force, and of the others those among the $3 newest; or the one key $2.
SELECT k.id, k.key_prefix, k.name, k.rate_limit_per_minute, k.rate_limit_per_day, k.is_active, k.last_used_at,
    k.created_at, k.expires_at, k.allowed_models, k.allowed_routes, k.allowed_ips, k.tokens_per_minute,
    k.max_concurrent_requests, k.budget_daily, k.budget_monthly, k.budget_total, k.is_frozen, k.rotated_from,
    coalesce(k.expires_at <= now(), false) AS is_expired,
    EXISTS (SELECT FROM ai_api_keys s WHERE s.user_id = $1 AND s.rotated_from = k.id) AS is_replaced
FROM ai_api_keys k
WHERE k.user_id = $1 AND CASE WHEN $2::uuid IS NOT NULL THEN k.id = $2
    ELSE k.is_active AND (k.expires_at IS NULL OR k.expires_at > now())
        OR k.id IN (SELECT n.id FROM ai_api_keys n WHERE n.user_id = $1 ORDER BY n.created_at DESC, n.id LIMIT $3) END
ORDER BY k.created_at DESC, k.id

-- name: lock
-- A key, locked until the end of the transaction, and whose it is; of any user where $2 is null. What else is true of it
-- is read after this: a statement that waited for the lock still sees the other rows as they were when it began.
SELECT user_id FROM ai_api_keys WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2) FOR NO KEY UPDATE

-- name: lock_user
-- One at a time counts a user's keys and adds to them.
SELECT pg_advisory_xact_lock(hashtext('farebox_user_keys'), hashtext($1::uuid::text))

-- name: count
-- A user's keys that are in force: all of them, and those that no other replaces.
SELECT count(*) AS in_force, count(*) FILTER (
    WHERE NOT EXISTS (SELECT FROM ai_api_keys s WHERE s.user_id = $1 AND s.rotated_from = k.id)) AS not_replaced
FROM ai_api_keys k
WHERE k.user_id = $1 AND k.is_active AND (k.expires_at IS NULL OR k.expires_at > now())

-- name: end_after
-- A key that was replaced ends $3 seconds from now, or when it would have ended if that is sooner; 0: revoked.
UPDATE ai_api_keys SET
    expires_at = LEAST(expires_at, now() + make_interval(secs => $3)), is_active = is_active AND $3::double precision > 0
WHERE id = $1 AND user_id = $2

-- name: revoke
-- Switch a key off for good; says whether there is such a key.
UPDATE ai_api_keys SET is_active = false WHERE id = $1
RETURNING id

-- name: revoke_own
-- The same for a user's own key.
UPDATE ai_api_keys SET is_active = false WHERE id = $1 AND user_id = $2
RETURNING id
