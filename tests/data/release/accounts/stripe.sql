-- Stripe: events, payments, what is claimed back, and the customer of a wallet. Money comes in as numeric dollars.

-- name: customer
-- The Stripe customer of a wallet.
SELECT stripe_customer_id FROM ai_wallets WHERE id = $1

-- name: remember_customer
-- Remember a customer unless somebody was quicker; $3 is the one it replaces, or null.
UPDATE ai_wallets SET stripe_customer_id = $2
WHERE id = $1 AND stripe_customer_id IS NOT DISTINCT FROM $3
RETURNING stripe_customer_id

-- name: enter_event
-- Keep an event unless it is known; nothing comes back for one that is.
INSERT INTO farebox_stripe_events (id, type, api_version, livemode) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: close_event
-- Say what was done about an event.
UPDATE farebox_stripe_events SET outcome = $2, reason = $3 WHERE id = $1

-- name: lock_intent
-- Until the end of the transaction nobody else does anything about this payment intent, known or not.
SELECT pg_advisory_xact_lock($1, hashtext($2))

-- name: lock_wallet
-- One wallet, locked until the end of the transaction. Payments are changed only under this lock.
SELECT id, user_id, balance, overdraft, version, is_frozen FROM ai_wallets WHERE id = $1 FOR NO KEY UPDATE

-- name: payment
-- What is known of a session or a payment intent.
SELECT id, wallet_id, credited, taken_back, owed FROM farebox_stripe_payments
WHERE session_id = $1 OR payment_intent_id = $2

-- name: keep_payment
-- A payment that is being credited.
INSERT INTO farebox_stripe_payments (session_id, payment_intent_id, wallet_id, user_id, credited, transaction_id)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, wallet_id, credited, taken_back, owed

-- name: move
-- What has gone back of a payment, and what should have.
UPDATE farebox_stripe_payments SET taken_back = $2, owed = $3, updated_at = clock_timestamp() WHERE id = $1

-- name: owing
-- A wallet's payments of which something should have gone back, oldest first.
SELECT id, wallet_id, credited, taken_back, owed FROM farebox_stripe_payments
WHERE wallet_id = $1 AND owed > 0
ORDER BY created_at, id

-- name: keep_claim
-- What is wanted back. Events come in any order: the larger total is the later one, and what was dropped stays dropped.
INSERT INTO farebox_stripe_claims AS c (id, kind, payment_intent_id, amount, is_dropped) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE
SET amount = greatest(c.amount, EXCLUDED.amount), is_dropped = c.is_dropped OR EXCLUDED.is_dropped, updated_at = clock_timestamp()
WHERE c.kind = EXCLUDED.kind AND c.payment_intent_id = EXCLUDED.payment_intent_id

-- name: claims
-- All that is wanted back of a payment intent.
SELECT id, kind, payment_intent_id, amount, is_dropped FROM farebox_stripe_claims WHERE payment_intent_id = $1

-- name: prune_events
-- Forget at most $2 events, older than $1 days, about which nothing was done. What moved money stays, and what was refused.
DELETE FROM farebox_stripe_events WHERE id IN (
    SELECT id FROM farebox_stripe_events
    WHERE outcome IN ('ignored', 'recorded') AND received_at < now() - make_interval(days => $1)
    ORDER BY received_at LIMIT $2
    FOR UPDATE SKIP LOCKED)

-- name: prune_claims
-- Forget at most $2 claims, older than $1 days, on payments that never came: another product's of the same Stripe account.
DELETE FROM farebox_stripe_claims WHERE id IN (
    SELECT c.id FROM farebox_stripe_claims c
    WHERE c.updated_at < now() - make_interval(days => $1)
        AND NOT EXISTS (SELECT FROM farebox_stripe_payments p WHERE p.payment_intent_id = c.payment_intent_id)
    ORDER BY c.updated_at LIMIT $2
    FOR UPDATE OF c SKIP LOCKED)
