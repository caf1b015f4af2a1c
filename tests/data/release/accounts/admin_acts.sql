-- What administrators change beside balances. All of it inside a transaction that also writes farebox_admin_log.

-- name: lock_wallet
-- A user's wallet, locked until the end of the transaction: posting and other acts wait.
SELECT id, balance, overdraft, is_frozen FROM ai_wallets WHERE user_id = $1 FOR NO KEY UPDATE

-- name: freeze_wallet
-- Freeze a wallet, or let it go.
UPDATE ai_wallets SET is_frozen = $2 WHERE id = $1

-- name: set_overdraft
-- How far below nothing a balance may go, in dollars.
UPDATE ai_wallets SET overdraft = $2 WHERE id = $1

-- name: refundable
-- Whether a request is this user's, what was debited for it, corrections included, and what of that was given back.
SELECT
    EXISTS (SELECT FROM ai_usage_logs WHERE id = $2 AND created_at = farebox_uuid7_time($2) AND user_id = $1) AS is_theirs,
    coalesce((SELECT -sum(amount) FROM (
        SELECT amount FROM ai_transactions WHERE request_id = $2 AND user_id = $1
        UNION ALL
        SELECT amount FROM ai_transactions WHERE corrects = $2 AND user_id = $1) moved), 0) AS debited,
    coalesce((SELECT sum(t.amount) FROM farebox_request_refunds r JOIN ai_transactions t ON t.id = r.transaction_id
        WHERE r.request_id = $2), 0) AS refunded

-- name: keep_refund
-- Which request a refund is for.
INSERT INTO farebox_request_refunds (transaction_id, request_id) VALUES ($1, $2)

-- name: lock_key
-- A key, locked until the end of the transaction.
SELECT id, user_id, is_active, is_frozen FROM ai_api_keys WHERE id = $1 FOR NO KEY UPDATE

-- name: freeze_key
-- Freeze a key, or let it go.
UPDATE ai_api_keys SET is_frozen = $2 WHERE id = $1

-- name: revoke_key
-- Switch a key off for good.
UPDATE ai_api_keys SET is_active = false WHERE id = $1
