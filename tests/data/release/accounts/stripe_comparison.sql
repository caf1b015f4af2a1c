-- What was credited for payments at Stripe, as their own table and the wallets' history have it.

-- name: booked
-- Payments credited from $1 on and before $2, or of one of the payment intents $3. `credited` and `gone_back` are what the
-- payment says, `topup` and `refunds` the lines of the wallet's history; of what should have gone back `owed` has not yet.
SELECT p.id, p.session_id, p.payment_intent_id, p.user_id, p.credited, p.taken_back AS gone_back, p.owed,
    coalesce(t.amount, 0) AS topup, coalesce(-r.total, 0) AS refunds
FROM farebox_stripe_payments p
LEFT JOIN ai_transactions t ON t.id = p.transaction_id AND t.type = 'topup' AND t.wallet_id = p.wallet_id
LEFT JOIN LATERAL (
    SELECT sum(l.amount) AS total FROM ai_transactions l
    WHERE l.wallet_id = p.wallet_id AND l.type = 'refund' AND l.metadata ->> 'stripe_payment' = p.id::text
) r ON true
WHERE (p.created_at >= $1 AND p.created_at < $2) OR p.payment_intent_id = ANY ($3::text[])
ORDER BY p.created_at, p.id
