-- What administrators did.

-- name: insert
-- One more line.
INSERT INTO farebox_admin_log (actor, action, target_kind, target_id, user_id, before, after, reason)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8)

-- name: page
-- A page, newest first. $1, $2 from and before · $3 actor · $4 action · $5 user; null is no bound · $6, $7 the line
-- before which it begins · $8 how many.
SELECT id, at, actor, action, target_kind, target_id, user_id, before, after, reason
FROM farebox_admin_log
WHERE at >= coalesce($1::timestamptz, '-infinity') AND at < coalesce($2::timestamptz, 'infinity')
    AND ($3::text IS NULL OR actor = $3)
    AND ($4::text IS NULL OR action = $4)
    AND ($5::uuid IS NULL OR user_id = $5)
    AND (at, id) < (coalesce($6::timestamptz, 'infinity'), coalesce($7::bigint, 0))
ORDER BY at DESC, id DESC
LIMIT $8
