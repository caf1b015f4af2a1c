-- The ledger's invariants. Each query finds what breaks one: wallet_id, request_id, detail. None of them repairs anything.
--
-- $1, $2 from and before; null is no bound, and both null is everything. Of lines, requests and payments those of that time
-- are looked at. What is said of a whole history is checked whole, for every wallet that was there before $2 and changed
-- since $1. Bounds are coalesced, not OR-ed: an index can then be searched for them, and partitions left out.
--
-- Requests that retention has dropped are there as sums only: what they came to in a month, for each wallet. Since when
-- they are kept is asked in a sub-select: once, and not for every row.

-- name: balance_is_the_sum_of_transactions
-- What is in a wallet is what went in and out. This is the replay: the balance rebuilt from the history alone. That each
-- line on the way is right too, says each_transaction_continues_the_one_before.
SELECT w.id AS wallet_id, NULL::uuid AS request_id,
    format('balance %s, sum of transactions %s', w.balance, coalesce(t.total, 0)) AS detail
FROM ai_wallets w
LEFT JOIN (
    SELECT wallet_id, sum(amount) AS total FROM ai_transactions
    WHERE wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
    GROUP BY wallet_id
) t ON t.wallet_id = w.id
WHERE w.balance <> coalesce(t.total, 0)
    AND w.updated_at >= coalesce($1, '-infinity') AND w.created_at < coalesce($2::timestamptz, 'infinity')

-- name: transaction_count_is_the_number_of_transactions
-- The wallet's counter is the seq of its latest line.
SELECT w.id AS wallet_id, NULL::uuid AS request_id,
    format('transaction_count %s, transactions %s', w.transaction_count, coalesce(t.lines, 0)) AS detail
FROM ai_wallets w
LEFT JOIN (
    SELECT wallet_id, count(*) AS lines FROM ai_transactions
    WHERE wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
    GROUP BY wallet_id
) t ON t.wallet_id = w.id
WHERE w.transaction_count <> coalesce(t.lines, 0)
    AND w.updated_at >= coalesce($1, '-infinity') AND w.created_at < coalesce($2::timestamptz, 'infinity')

-- name: each_transaction_continues_the_one_before
-- Numbered without gaps from 1, each starting from the balance the previous one left.
SELECT t.wallet_id, t.request_id,
    CASE
        WHEN t.seq > 1 AND p.seq IS NULL THEN format('seq %s has no predecessor', t.seq)
        WHEN t.balance_after <> t.balance_before + t.amount
            THEN format('seq %s: %s + %s is not %s', t.seq, t.balance_before, t.amount, t.balance_after)
        ELSE format('seq %s starts from %s, the one before left %s', t.seq, t.balance_before, coalesce(p.balance_after, 0))
    END AS detail
FROM ai_transactions t
LEFT JOIN ai_transactions p ON p.wallet_id = t.wallet_id AND p.seq = t.seq - 1
WHERE t.created_at >= coalesce($1::timestamptz, '-infinity') AND t.created_at < coalesce($2::timestamptz, 'infinity')
    AND ((t.seq > 1 AND p.seq IS NULL)
        OR t.balance_before <> coalesce(p.balance_after, 0)
        OR t.balance_after <> t.balance_before + t.amount)

-- name: no_wallet_below_its_overdraft
-- Never overspent.
SELECT id AS wallet_id, NULL::uuid AS request_id, format('balance %s, overdraft %s', balance, overdraft) AS detail
FROM ai_wallets
WHERE balance < -overdraft
    AND updated_at >= coalesce($1::timestamptz, '-infinity') AND created_at < coalesce($2::timestamptz, 'infinity')

-- name: usage_adds_up_to_usage_transactions
-- Over a wallet's whole history, what its requests say was collected is what lines of type usage took, corrections included.
SELECT wallet_id, NULL::uuid AS request_id,
    format('requests collected %s, transactions took %s', coalesce(u.total, 0), coalesce(t.total, 0)) AS detail
FROM (
    SELECT wallet_id, -sum(amount) AS total FROM ai_transactions
    WHERE type = 'usage'
        AND wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
    GROUP BY wallet_id
) t
FULL JOIN (
    SELECT wallet_id, sum(collected) AS total
    FROM (
        SELECT wallet_id, cost - uncollected + coalesce((metadata #>> '{recovered,kept}')::numeric, 0) AS collected
        FROM ai_usage_logs
        UNION ALL
        SELECT wallet_id, cost - uncollected + kept
        FROM farebox_retired_usage JOIN farebox_retired_months USING (month) WHERE dropped_at IS NOT NULL
    ) used
    WHERE wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
    GROUP BY wallet_id
) u USING (wallet_id)
JOIN ai_wallets w ON w.id = wallet_id
WHERE coalesce(u.total, 0) <> coalesce(t.total, 0) AND w.created_at < coalesce($2::timestamptz, 'infinity')

-- name: each_request_was_debited
-- What a usage row says was collected is the amount of its debit and of the corrections of that, if there are any. `kept`
-- was refunded before a correction could give it back.
SELECT u.wallet_id, u.id AS request_id,
    format('collected %s, debited %s', u.collected, -coalesce(t.amount, 0) - coalesce(c.amount, 0))
        || CASE WHEN t.wallet_id <> u.wallet_id OR c.wallet_ids <> ARRAY[u.wallet_id] THEN ' from another wallet' ELSE '' END AS detail
FROM (
    SELECT wallet_id, id, cost - uncollected + coalesce((metadata #>> '{recovered,kept}')::numeric, 0) AS collected
    FROM ai_usage_logs
    WHERE created_at >= coalesce($1::timestamptz, '-infinity') AND created_at < coalesce($2::timestamptz, 'infinity')
) u
LEFT JOIN ai_transactions t ON t.request_id = u.id
LEFT JOIN (
    SELECT corrects, sum(amount) AS amount, array_agg(DISTINCT wallet_id) AS wallet_ids
    FROM ai_transactions WHERE corrects IS NOT NULL GROUP BY corrects
) c ON c.corrects = u.id
WHERE u.collected <> -coalesce(t.amount, 0) - coalesce(c.amount, 0)
    OR t.wallet_id <> u.wallet_id OR c.wallet_ids <> ARRAY[u.wallet_id]

-- name: each_correction_has_its_recovered_request
-- Only what was recovered and debited is corrected; and upwards only, as long as it is recovered.
SELECT c.wallet_id, c.corrects AS request_id,
    format('seq %s corrects by %s: ', c.seq, c.amount) || CASE
        WHEN u.id IS NULL THEN 'no such usage row'
        WHEN t.id IS NULL THEN 'no such debit'
        ELSE 'a request that was not recovered' END AS detail
FROM ai_transactions c
LEFT JOIN ai_transactions t ON t.request_id = c.corrects
LEFT JOIN ai_usage_logs u ON u.id = c.corrects AND u.created_at = farebox_uuid7_time(c.corrects)
WHERE c.corrects IS NOT NULL
    AND (t.id IS NULL OR NOT u.metadata ? 'recovered' OR (u.end_reason = 'recovered' AND c.amount > 0)
        OR (u.id IS NULL AND c.corrects >= (SELECT farebox_uuid7_at(farebox_usage_dropped_before()))))
    AND c.created_at >= coalesce($1::timestamptz, '-infinity') AND c.created_at < coalesce($2::timestamptz, 'infinity')

-- name: each_debit_has_its_request
-- No usage transaction without the usage it is for.
SELECT t.wallet_id, t.request_id, format('seq %s debited %s, no such usage row', t.seq, -t.amount) AS detail
FROM ai_transactions t
LEFT JOIN ai_usage_logs u ON u.id = t.request_id AND u.created_at = farebox_uuid7_time(t.request_id)
WHERE t.request_id >= (SELECT farebox_uuid7_at(farebox_usage_dropped_before())) AND u.id IS NULL
    AND t.created_at >= coalesce($1::timestamptz, '-infinity') AND t.created_at < coalesce($2::timestamptz, 'infinity')

-- name: each_request_appears_once
-- One request, one usage row, in whichever partition.
SELECT (array_agg(wallet_id))[1] AS wallet_id, id AS request_id, format('%s usage rows', count(*)) AS detail
FROM ai_usage_logs
WHERE created_at >= coalesce($1::timestamptz, '-infinity') AND created_at < coalesce($2::timestamptz, 'infinity')
GROUP BY id HAVING count(*) > 1

-- name: daily_sums_are_those_of_the_requests
-- What statistics are read from is what the requests add up to, for the whole days that the time is in; but for days
-- whose requests were dropped.
SELECT coalesce(u.wallet_id, d.wallet_id) AS wallet_id, NULL::uuid AS request_id,
    format('%s, model %s, key %s: %s requests of %s tokens cost %s, summed up as %s of %s cost %s', day, model, api_key_id,
        coalesce(u.requests, 0), coalesce(u.tokens, 0), coalesce(u.cost, 0),
        coalesce(d.requests, 0), coalesce(d.total_tokens, 0), coalesce(d.cost, 0)) AS detail
FROM (
    SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date AS day,
        count(*) AS requests, sum(total_tokens) AS tokens, sum(cost) AS cost, sum(uncollected) AS uncollected
    FROM ai_usage_logs
    WHERE created_at >= coalesce(date_trunc('day', $1::timestamptz AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', '-infinity')
        AND created_at < coalesce((date_trunc('day', $2::timestamptz AT TIME ZONE 'UTC') + interval '1 day') AT TIME ZONE 'UTC', 'infinity')
    GROUP BY 1, 2, 3, 4, 5
) u
FULL JOIN (
    SELECT * FROM ai_usage_daily
    WHERE day >= coalesce(($1 AT TIME ZONE 'UTC')::date, '-infinity') AND day <= coalesce(($2 AT TIME ZONE 'UTC')::date, 'infinity')
        AND day >= (SELECT (farebox_usage_dropped_before() AT TIME ZONE 'UTC')::date)
) d USING (user_id, wallet_id, day, api_key_id, model)
WHERE (u.requests, u.tokens, u.cost, u.uncollected)
    IS DISTINCT FROM (d.requests, d.total_tokens, d.cost, d.uncollected)

-- name: dropped_months_add_up
-- What the requests of a dropped month came to is what its daily sums and its debits, corrections included, still say.
SELECT wallet_id, NULL::uuid AS request_id,
    format('%s: %s requests of %s tokens cost %s, summed up as %s of %s cost %s; collected %s, debited %s',
        to_char(month, 'YYYY-MM'), coalesce(r.requests, 0), coalesce(r.total_tokens, 0), coalesce(r.cost, 0),
        coalesce(d.requests, 0), coalesce(d.total_tokens, 0), coalesce(d.cost, 0),
        coalesce(r.collected, 0), coalesce(t.collected, 0)) AS detail
FROM (
    SELECT wallet_id, month, u.requests, total_tokens, cost, uncollected, cost - uncollected + kept AS collected
    FROM farebox_retired_usage u JOIN farebox_retired_months m USING (month)
    WHERE m.dropped_at IS NOT NULL
        AND wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
) r
FULL JOIN (
    SELECT wallet_id, date_trunc('month', day::timestamp)::date AS month,
        sum(requests) AS requests, sum(total_tokens) AS total_tokens, sum(cost) AS cost, sum(uncollected) AS uncollected
    FROM ai_usage_daily
    WHERE day < (SELECT (farebox_usage_dropped_before() AT TIME ZONE 'UTC')::date)
        AND wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
    GROUP BY 1, 2
) d USING (wallet_id, month)
FULL JOIN (
    SELECT wallet_id, date_trunc('month', farebox_uuid7_time(coalesce(request_id, corrects)) AT TIME ZONE 'UTC')::date AS month,
        -sum(amount) AS collected
    FROM ai_transactions
    WHERE coalesce(request_id, corrects) < (SELECT farebox_uuid7_at(farebox_usage_dropped_before()))
        AND wallet_id IN (SELECT id FROM ai_wallets WHERE updated_at >= coalesce($1::timestamptz, '-infinity'))
    GROUP BY 1, 2
) t USING (wallet_id, month)
JOIN ai_wallets w ON w.id = wallet_id
WHERE w.created_at < coalesce($2::timestamptz, 'infinity')
    AND ((r.requests, r.total_tokens, r.cost, r.uncollected)
        IS DISTINCT FROM (d.requests, d.total_tokens, d.cost, d.uncollected)
        OR coalesce(r.collected, 0) <> coalesce(t.collected, 0))

-- name: no_usage_was_set_aside
-- Events that could not be posted wait in farebox_dead_letters to be put right by hand.
SELECT NULL::uuid AS wallet_id, NULL::uuid AS request_id, format('event %s: %s', event_id, left(reason, 200)) AS detail
FROM farebox_dead_letters
WHERE created_at >= coalesce($1::timestamptz, '-infinity') AND created_at < coalesce($2::timestamptz, 'infinity')

-- name: redis_was_not_emptied
-- A shard of Redis that was found empty has lost what requests had used and was not posted by then.
SELECT NULL::uuid AS wallet_id, NULL::uuid AS request_id,
    format('shard %s was found empty at %s: what was used and not posted by then is lost', shard, first_seen) AS detail
FROM farebox_redis_lives
WHERE NOT is_first AND accepted_at IS NULL
    AND first_seen >= coalesce($1::timestamptz, '-infinity') AND first_seen < coalesce($2::timestamptz, 'infinity')

-- name: each_stripe_payment_was_credited_once
-- A payment's topup is its amount, and what it says went back are its refunds.
SELECT p.wallet_id, NULL::uuid AS request_id,
    format('payment %s: credited %s, topup %s; taken back %s, refunds %s',
        coalesce(p.session_id, p.payment_intent_id), p.credited, t.amount, p.taken_back, coalesce(-r.total, 0)) AS detail
FROM farebox_stripe_payments p
LEFT JOIN ai_transactions t ON t.id = p.transaction_id AND t.type = 'topup' AND t.wallet_id = p.wallet_id
LEFT JOIN (
    SELECT metadata ->> 'stripe_payment' AS payment, sum(amount) AS total
    FROM ai_transactions WHERE type = 'refund' AND metadata ? 'stripe_payment' GROUP BY 1
) r ON r.payment = p.id::text
WHERE (t.amount IS DISTINCT FROM p.credited OR p.taken_back <> coalesce(-r.total, 0))
    AND p.updated_at >= coalesce($1::timestamptz, '-infinity') AND p.created_at < coalesce($2::timestamptz, 'infinity')

-- name: each_auto_topup_was_credited_once
-- An attempt that succeeded is a payment of its amount, of its wallet; an automatic payment is an attempt that succeeded.
SELECT a.wallet_id, NULL::uuid AS request_id,
    format('attempt %s: %s of %s, payment %s of %s', a.id, a.status, a.amount, a.payment_intent_id, coalesce(p.credited, 0)) AS detail
FROM farebox_auto_topup_attempts a
LEFT JOIN farebox_stripe_payments p ON p.payment_intent_id = a.payment_intent_id
WHERE ((a.status = 'succeeded') <> (p.id IS NOT NULL) OR p.credited <> a.amount OR p.wallet_id <> a.wallet_id)
    AND coalesce(a.ended_at, a.created_at) >= coalesce($1::timestamptz, '-infinity')
    AND a.created_at < coalesce($2::timestamptz, 'infinity')

-- name: no_request_was_refunded_beyond_its_debit
-- What was given back for a request went to the wallet that had paid, and is not more than it had, corrections included.
SELECT coalesce(d.wallet_id, r.wallet_id) AS wallet_id, r.request_id,
    format('debited %s, refunded %s', -coalesce(d.amount, 0) - coalesce(c.amount, 0), r.total)
        || CASE WHEN d.wallet_id <> r.wallet_id THEN ' to another wallet' ELSE '' END AS detail
FROM (
    SELECT f.request_id, t.wallet_id, sum(t.amount) AS total, min(t.created_at) AS first_at, max(t.created_at) AS latest_at
    FROM farebox_request_refunds f JOIN ai_transactions t ON t.id = f.transaction_id
    GROUP BY f.request_id, t.wallet_id
) r
LEFT JOIN ai_transactions d ON d.request_id = r.request_id
LEFT JOIN (
    SELECT corrects, sum(amount) AS amount, max(created_at) AS latest_at
    FROM ai_transactions WHERE corrects IS NOT NULL GROUP BY corrects
) c ON c.corrects = r.request_id
WHERE (r.total > -coalesce(d.amount, 0) - coalesce(c.amount, 0) OR d.wallet_id <> r.wallet_id)
    AND (r.latest_at >= coalesce($1::timestamptz, '-infinity') OR c.latest_at >= $1)
    AND r.first_at < coalesce($2::timestamptz, 'infinity')
