-- Usage events that could not be posted, looked at and put right by an operator.

-- name: page
-- Newest first. $1 the number before which it begins, null for the newest · $2 how many.
SELECT id, event_id, payload, reason, created_at FROM farebox_dead_letters
WHERE id < coalesce($1::bigint, 9223372036854775807)
ORDER BY id DESC LIMIT $2

-- name: find
-- By event id, of which shards have the same now and then, or by number. At most $3.
SELECT id, event_id, payload, reason, created_at FROM farebox_dead_letters
WHERE event_id = $1 OR id = $2
ORDER BY id LIMIT $3

-- name: lock
-- The same, locked until the end of the transaction: of two operators who act on one, one does.
SELECT id, event_id, payload, reason, created_at FROM farebox_dead_letters
WHERE event_id = $1 OR id = $2
ORDER BY id LIMIT $3
FOR UPDATE

-- name: delete
-- One is done.
DELETE FROM farebox_dead_letters WHERE id = $1

-- name: announce
-- Posting announces nothing, because ledger writers tell Redis themselves; here nobody does.
SELECT pg_notify('farebox_wallets', $1::uuid::text)
