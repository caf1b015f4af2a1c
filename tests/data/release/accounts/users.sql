-- Users as an administrator sees them: every wallet's, with what was spent since a day.
--
-- $1 the day (UTC) from which spending counts · $2 1: least first, -1: most first · $3, $4 the place after which the page
-- begins: the amount times $2, and the user; null: at the beginning · $5 how many. Spent is what was debited for usage.

-- name: by_balance
-- A page by balance. All wallets are read: an index on balances would be rewritten by every debit.
WITH page AS (
    SELECT id, user_id, balance, overdraft, is_frozen, created_at, balance * $2::int AS rank
    FROM ai_wallets
    WHERE (balance * $2::int, user_id)
        > (coalesce($3::numeric, '-infinity'), coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'))
    ORDER BY rank, user_id
    LIMIT $5
)
SELECT page.*, used.spent, used.requests, seen.last_used_at
FROM page
CROSS JOIN LATERAL (
    SELECT coalesce(sum(cost - uncollected), 0) AS spent, coalesce(sum(requests), 0)::bigint AS requests
    FROM ai_usage_daily d WHERE d.user_id = page.user_id AND d.day >= $1::date
) used
CROSS JOIN LATERAL (SELECT max(last_used_at) AS last_used_at FROM ai_api_keys k WHERE k.user_id = page.user_id) seen
ORDER BY rank, page.user_id

-- name: by_spend
-- A page by what was spent.
WITH used AS (
    SELECT user_id, sum(cost - uncollected) AS spent, sum(requests)::bigint AS requests
    FROM ai_usage_daily WHERE day >= $1::date
    GROUP BY user_id
), ranked AS (
    SELECT id, user_id, balance, overdraft, is_frozen, created_at, coalesce(spent, 0) AS spent,
        coalesce(requests, 0) AS requests, coalesce(spent, 0) * $2::int AS rank
    FROM ai_wallets LEFT JOIN used USING (user_id)
), page AS (
    SELECT * FROM ranked
    WHERE (rank, user_id)
        > (coalesce($3::numeric, '-infinity'), coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'))
    ORDER BY rank, user_id
    LIMIT $5
)
SELECT page.*, seen.last_used_at
FROM page
CROSS JOIN LATERAL (SELECT max(last_used_at) AS last_used_at FROM ai_api_keys k WHERE k.user_id = page.user_id) seen
ORDER BY rank, page.user_id

-- name: wallet
-- A user's wallet, as far as the user does not see it.
SELECT is_frozen, created_at FROM ai_wallets WHERE user_id = $1

-- name: keys
-- A user's latest keys, never a hash.
SELECT id, key_prefix, name, is_active, is_frozen, last_used_at, created_at, expires_at
FROM ai_api_keys WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT $2
