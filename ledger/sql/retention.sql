-- Retention of the usage log; see ledger/retention.py. The functions are those of migration 0017.

-- name: try_lock
-- Whether nobody else is at it. The lock is the session's: it ends when the connection is given back, or breaks.
SELECT pg_try_advisory_lock(hashtext('farebox_retention'))

-- name: kept_from
-- The first month that is kept beside the running one, $1 how many; null: all are.
SELECT coalesce((date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1::integer))::date, '-infinity')

-- name: due_months
-- The months before $1 that requests are still kept of, the oldest first, with about how many there are, where that is
-- known. Of those that have no partition only the oldest: it gets one, and then the next is seen. Partitions of other
-- names are not ours.
SELECT month, about
FROM (
    SELECT to_date(right(part.relname, 7), 'YYYY_MM') AS month, nullif(part.reltuples, -1)::bigint AS about
    FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
    WHERE inhparent = 'ai_usage_logs'::regclass AND part.relname ~ '^ai_usage_logs_\d{4}_\d{2}$'
    UNION ALL
    SELECT date_trunc('month', created_at AT TIME ZONE 'UTC')::date, NULL
    FROM (SELECT created_at FROM ai_usage_logs_default ORDER BY id LIMIT 1) stray
) found
WHERE month < $1::date
ORDER BY month

-- name: reopen
-- Months that were closed and not dropped, and are to be kept after all: from $1 on.
SELECT farebox_reopen_usage_months($1)

-- name: state
-- How far a month has come; no row: it is open.
SELECT requests, archive, archive_sha256, archive_bytes FROM farebox_retired_months WHERE month = $1

-- name: close
-- From here on the month does not change. False: an older month is to be closed first.
SELECT farebox_close_usage_month($1)

-- name: sum_up
-- What each wallet's requests came to; returns how many there are.
SELECT farebox_sum_up_usage_month($1)

-- name: wallets_that_do_not_add_up
-- How many wallets' requests of a month are not what daily sums and debits, corrections included, say. The same as the
-- audit's dropped_months_add_up, before the month is dropped. $1 the month, $2 the one after it.
SELECT count(*)
FROM (
    SELECT wallet_id, requests, total_tokens, cost, uncollected, cost - uncollected + kept AS collected
    FROM farebox_retired_usage WHERE month = $1::date
) r
FULL JOIN (
    SELECT wallet_id, sum(requests) AS requests, sum(total_tokens) AS total_tokens, sum(cost) AS cost,
        sum(uncollected) AS uncollected
    FROM ai_usage_daily WHERE day >= $1 AND day < $2::date GROUP BY wallet_id
) d USING (wallet_id)
FULL JOIN (
    SELECT wallet_id, -sum(amount) AS collected
    FROM (
        SELECT wallet_id, amount FROM ai_transactions
        WHERE request_id >= farebox_uuid7_at($1::timestamp AT TIME ZONE 'UTC')
            AND request_id < farebox_uuid7_at($2::timestamp AT TIME ZONE 'UTC')
        UNION ALL
        SELECT wallet_id, amount FROM ai_transactions
        WHERE corrects >= farebox_uuid7_at($1::timestamp AT TIME ZONE 'UTC')
            AND corrects < farebox_uuid7_at($2::timestamp AT TIME ZONE 'UTC')
    ) lines
    GROUP BY wallet_id
) t USING (wallet_id)
WHERE (r.requests, r.total_tokens, r.cost, r.uncollected) IS DISTINCT FROM (d.requests, d.total_tokens, d.cost, d.uncollected)
    OR coalesce(r.collected, 0) <> coalesce(t.collected, 0)

-- name: partition_name
-- The table that a month is in.
SELECT farebox_usage_partition($1)

-- name: as_it_lies
-- The same rows are copied as the same bytes, whoever copies them: in UTC, from the table's beginning.
SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL synchronize_seqscans = off

-- name: note_archive
-- The file that a month is in, once it was read back.
UPDATE farebox_retired_months SET archive = $2, archive_sha256 = $3, archive_bytes = $4 WHERE month = $1

-- name: drop
-- The end of a month: it is dropped, and noted as dropped.
SELECT farebox_drop_usage_month($1)
