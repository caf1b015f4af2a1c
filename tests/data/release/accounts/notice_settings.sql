-- What users want to be told, and where. Runs as the user but for `remember`.

-- name: own
-- A user's choices; no row: none.
SELECT email, token_email, low_balance_threshold, email_events FROM farebox_notice_settings WHERE user_id = $1

-- name: choose
-- Keep choices: $3, $5 and $7 say whether the value before them is one.
INSERT INTO farebox_notice_settings AS known (user_id, email, low_balance_threshold, email_events)
VALUES ($1, CASE WHEN $3 THEN $2::text END, CASE WHEN $5 THEN $4::numeric END, CASE WHEN $7 THEN $6::text[] END)
ON CONFLICT (user_id) DO UPDATE
SET email = CASE WHEN $3 THEN EXCLUDED.email ELSE known.email END,
    low_balance_threshold = CASE WHEN $5 THEN EXCLUDED.low_balance_threshold ELSE known.low_balance_threshold END,
    email_events = CASE WHEN $7 THEN EXCLUDED.email_events ELSE known.email_events END
RETURNING email, token_email, low_balance_threshold, email_events

-- name: remember
-- Keep the address that a user's token tells; written only where it is another one.
INSERT INTO farebox_notice_settings AS known (user_id, token_email) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET token_email = EXCLUDED.token_email
WHERE known.token_email IS DISTINCT FROM EXCLUDED.token_email
