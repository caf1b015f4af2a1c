-- Auto top-up: what is wanted, the card, and the attempts to charge it. Money goes in and out as numeric dollars.

-- name: plan
-- What a user wants, and what was charged or may have been this month in this mode ($2; null: in either).
SELECT t.is_enabled, t.threshold, t.amount, t.monthly_cap, t.stopped_reason, t.is_live, t.card_brand, t.card_last4,
    coalesce(a.charged, 0) AS charged, coalesce(a.is_charging, false) AS is_charging
FROM farebox_auto_topups t
LEFT JOIN LATERAL (
    SELECT sum(amount) FILTER (WHERE created_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') AS charged,
        bool_or(status = 'open') AS is_charging
    FROM farebox_auto_topup_attempts
    WHERE wallet_id = t.wallet_id AND status <> 'failed' AND ($2::boolean IS NULL OR is_live = $2)
) a ON true
WHERE t.user_id = $1

-- name: ensure_plan
-- A user's row, off and empty, unless there is one.
INSERT INTO farebox_auto_topups (wallet_id, user_id) VALUES ($1, $2) ON CONFLICT (wallet_id) DO NOTHING

-- name: set_plan
-- What a user wants from now on. Switched on or off by a person, so there is no other reason any more.
UPDATE farebox_auto_topups
SET is_enabled = $2, threshold = $3, amount = $4, monthly_cap = $5, stopped_reason = NULL, updated_at = clock_timestamp()
WHERE user_id = $1

-- name: switch
-- Switch a user's auto top-up on or off, on only if it is complete; what it was before, or nothing if there is none.
WITH before AS (
    SELECT wallet_id, is_enabled, stopped_reason FROM farebox_auto_topups WHERE user_id = $1 FOR NO KEY UPDATE
)
UPDATE farebox_auto_topups t SET is_enabled = $2, stopped_reason = NULL, updated_at = clock_timestamp()
FROM before
WHERE t.wallet_id = before.wallet_id
    AND (NOT $2 OR num_nulls(t.threshold, t.amount, t.monthly_cap, t.payment_method_id) = 0)
RETURNING before.wallet_id, before.is_enabled, before.stopped_reason

-- name: card
-- Stripe's id of a user's saved card.
SELECT payment_method_id FROM farebox_auto_topups WHERE user_id = $1

-- name: save_card
-- A card that Stripe says was saved at $6, unless news of a later one came first.
INSERT INTO farebox_auto_topups AS t (wallet_id, user_id, customer_id, payment_method_id, is_live, card_changed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (wallet_id) DO UPDATE
SET customer_id = EXCLUDED.customer_id, payment_method_id = EXCLUDED.payment_method_id, is_live = EXCLUDED.is_live,
    card_brand = NULL, card_last4 = NULL, card_changed_at = EXCLUDED.card_changed_at, updated_at = clock_timestamp()
WHERE t.card_changed_at IS NULL OR t.card_changed_at <= EXCLUDED.card_changed_at
RETURNING wallet_id

-- name: describe_card
-- What people know their card by, unless it is another one by now.
UPDATE farebox_auto_topups SET card_brand = $3, card_last4 = $4
WHERE user_id = $1 AND payment_method_id = $2

-- name: forget_card
-- Switched off, and without a card; which one it was comes back.
WITH before AS (
    SELECT wallet_id, payment_method_id, is_live FROM farebox_auto_topups WHERE user_id = $1 FOR NO KEY UPDATE
)
UPDATE farebox_auto_topups t
SET is_enabled = false, stopped_reason = NULL, customer_id = NULL, payment_method_id = NULL, is_live = NULL,
    card_brand = NULL, card_last4 = NULL, updated_at = clock_timestamp()
FROM before WHERE t.wallet_id = before.wallet_id
RETURNING before.payment_method_id, before.is_live

-- name: due
-- Wallets below their threshold that nothing keeps from being charged, locked; those that another process looks at are
-- left to it. $1 our mode (null: unknown), $2 how many, $3 the operator's cap.
SELECT t.wallet_id, t.user_id, w.balance, t.threshold, t.amount, t.monthly_cap, t.customer_id, t.payment_method_id, t.is_live
FROM farebox_auto_topups t
JOIN ai_wallets w ON w.id = t.wallet_id
WHERE t.is_enabled AND w.balance < t.threshold AND NOT w.is_frozen
    AND ($1::boolean IS NULL OR t.is_live = $1)
    AND NOT EXISTS (
        SELECT FROM farebox_auto_topup_attempts a
        WHERE a.wallet_id = t.wallet_id AND a.is_live = t.is_live AND a.status = 'open')
    AND t.amount + coalesce((
        SELECT sum(a.amount) FROM farebox_auto_topup_attempts a
        WHERE a.wallet_id = t.wallet_id AND a.is_live = t.is_live AND a.status <> 'failed'
            AND a.created_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'), 0) <= least(t.monthly_cap, $3)
ORDER BY t.wallet_id
LIMIT $2
FOR NO KEY UPDATE OF t SKIP LOCKED

-- name: standing
-- The same again for one of them, asked once its plan is locked: another process may just have charged it. $2 the mode.
SELECT w.balance, w.is_frozen, a.charged, a.is_charging
FROM ai_wallets w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount) FILTER (WHERE created_at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'), 0) AS charged,
        coalesce(bool_or(status = 'open'), false) AS is_charging
    FROM farebox_auto_topup_attempts
    WHERE wallet_id = w.id AND is_live = $2 AND status <> 'failed'
) a
WHERE w.id = $1

-- name: begin
-- An attempt, before Stripe hears of it; nothing comes back if one is open. $7: for how long no other process asks.
INSERT INTO farebox_auto_topup_attempts
    (wallet_id, user_id, amount, customer_id, payment_method_id, is_live, asked, ask_after)
VALUES ($1, $2, $3, $4, $5, $6, 1, clock_timestamp() + $7 * interval '1 second')
ON CONFLICT (wallet_id, is_live) WHERE status = 'open' DO NOTHING
RETURNING id, wallet_id, user_id, amount, customer_id, payment_method_id, asked, created_at,
    0::float8 AS age_s

-- name: take_open
-- Open attempts that somebody should ask about: taken by this process for $2 seconds. $1 our mode, $3 how many.
UPDATE farebox_auto_topup_attempts a
SET asked = a.asked + 1, ask_after = clock_timestamp() + $2 * interval '1 second'
FROM (
    SELECT id FROM farebox_auto_topup_attempts
    WHERE status = 'open' AND ask_after <= clock_timestamp() AND ($1::boolean IS NULL OR is_live = $1)
    ORDER BY ask_after LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
) found
WHERE a.id = found.id
RETURNING a.id, a.wallet_id, a.user_id, a.amount, a.customer_id, a.payment_method_id, a.asked, a.created_at,
    extract(epoch FROM clock_timestamp() - a.created_at)::float8 AS age_s

-- name: ask_later
-- Nobody knows yet how it ended; $2 seconds until it is asked again, $3 the payment intent if there is one.
UPDATE farebox_auto_topup_attempts
SET ask_after = clock_timestamp() + $2 * interval '1 second', payment_intent_id = coalesce(payment_intent_id, $3)
WHERE id = $1 AND status = 'open'

-- name: succeed
-- The money came: also where it had been given up before.
UPDATE farebox_auto_topup_attempts
SET status = 'succeeded', payment_intent_id = $2, failure = NULL, ended_at = clock_timestamp()
WHERE id = $1 AND wallet_id = $3 AND status <> 'succeeded'

-- name: fail
-- No money will come: $4 is 'failed', or 'abandoned' where nobody can say.
UPDATE farebox_auto_topup_attempts
SET status = $4, payment_intent_id = coalesce($2, payment_intent_id), failure = $3, ended_at = clock_timestamp()
WHERE id = $1 AND status = 'open'
RETURNING wallet_id, user_id, amount

-- name: stop
-- Switched off by itself, and why.
UPDATE farebox_auto_topups SET is_enabled = false, stopped_reason = $2, updated_at = clock_timestamp()
WHERE wallet_id = $1 AND is_enabled

-- name: is_auto_topup
-- Is this payment intent one of our attempts?
SELECT EXISTS (SELECT FROM farebox_auto_topup_attempts WHERE payment_intent_id = $1)
