-- Keys, as people and operators see them; never a hash.

-- name: insert
-- Keep a new key: its start and its hash.
INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name, rate_limit_per_minute, rate_limit_per_day, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, key_prefix, name, rate_limit_per_minute, rate_limit_per_day, is_active, last_used_at, created_at, expires_at

-- name: of_user
-- A user's keys, newest first.
SELECT id, key_prefix, name, rate_limit_per_minute, rate_limit_per_day, is_active, last_used_at, created_at, expires_at
FROM ai_api_keys
WHERE user_id = $1
ORDER BY created_at DESC, id

-- name: revoke
-- Switch a key off for good; says whether there is such a key.
UPDATE ai_api_keys SET is_active = false WHERE id = $1
RETURNING id

-- name: revoke_own
-- The same for a user's own key.
UPDATE ai_api_keys SET is_active = false WHERE id = $1 AND user_id = $2
RETURNING id
