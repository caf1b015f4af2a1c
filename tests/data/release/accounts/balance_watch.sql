-- Which wallets are low or empty. $n are dollars as numeric where they are money.

-- name: now
-- What time Postgres says it is: `updated_at` is by its clock.
SELECT clock_timestamp()

-- name: candidates
-- A page, by id, of the wallets about which something may have to be said. $1 changed since · $2 after this id ·
-- $3 the configured threshold · $4 how many. Wallets are read in full: an index on updated_at would be rewritten by
-- every debit. Those that are well, and were, drop out here.
WITH changed AS MATERIALIZED (
    SELECT id, user_id, balance, transaction_count FROM ai_wallets
    WHERE updated_at >= $1 AND id > $2
    UNION ALL
    SELECT w.id, w.user_id, w.balance, w.transaction_count
    FROM farebox_notice_settings n JOIN ai_wallets w ON w.user_id = n.user_id
    WHERE n.updated_at >= $1 AND w.id > $2
)
SELECT DISTINCT w.id
FROM changed w
LEFT JOIN farebox_balance_watch s ON s.wallet_id = w.id
LEFT JOIN farebox_notice_settings n ON n.user_id = w.user_id
CROSS JOIN LATERAL (SELECT coalesce(n.low_balance_threshold, $3::numeric) AS threshold) wanted
WHERE CASE coalesce(s.level, 'new')
        WHEN 'new' THEN true
        WHEN 'ok' THEN w.balance <= 0 OR w.balance < wanted.threshold
        ELSE s.seen_seq < w.transaction_count OR s.threshold IS DISTINCT FROM wanted.threshold END
ORDER BY w.id
LIMIT $4

-- name: begin
-- Wallets that were never looked at begin as empty, of which nobody is told.
INSERT INTO farebox_balance_watch (wallet_id, level, seen_seq)
SELECT id, 'empty', 0 FROM unnest($1::uuid[]) AS given(id)
ON CONFLICT (wallet_id) DO NOTHING

-- name: lock
-- Only one process at a time judges a wallet; always in id order.
SELECT wallet_id FROM farebox_balance_watch WHERE wallet_id = ANY($1::uuid[]) ORDER BY wallet_id FOR UPDATE

-- name: looks
-- The wallets as they are now, in a statement after `lock` so that it sees what the lock waited for. The lines since the
-- last look are read only for wallets of which something was said. $2 the configured threshold.
SELECT w.id, w.user_id, w.balance, w.transaction_count, s.level, wanted.threshold, lines.peak, lines.topup_peak,
    s.seen_seq < w.transaction_count OR s.threshold IS DISTINCT FROM wanted.threshold AS is_new
FROM farebox_balance_watch s
JOIN ai_wallets w ON w.id = s.wallet_id
LEFT JOIN farebox_notice_settings n ON n.user_id = w.user_id
CROSS JOIN LATERAL (SELECT coalesce(n.low_balance_threshold, $2::numeric) AS threshold) wanted
LEFT JOIN LATERAL (
    SELECT max(balance_after) AS peak, max(balance_after) FILTER (WHERE type = 'topup') AS topup_peak
    FROM ai_transactions t
    WHERE t.wallet_id = w.id AND t.seq > s.seen_seq AND s.level <> 'ok') lines ON true
WHERE s.wallet_id = ANY($1::uuid[])
ORDER BY w.id

-- name: seen
-- Keep what was found.
UPDATE farebox_balance_watch s
SET level = found.level, threshold = found.threshold, seen_seq = found.seq
FROM unnest($1::uuid[], $2::text[], $3::numeric[], $4::bigint[]) AS found(wallet_id, level, threshold, seq)
WHERE s.wallet_id = found.wallet_id
