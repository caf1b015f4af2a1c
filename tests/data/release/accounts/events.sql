-- Events, and what operators see and do of them.

-- name: announce
-- One more event, unless there is one with the same `once`.
INSERT INTO farebox_events (kind, user_id, facts, once) VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (once) DO NOTHING

-- name: page
-- A page, newest first, each with its deliveries. $1 kind · $2 user · $3 only those with a delivery in this state; null
-- is no bound · $4, $5 the event before which it begins · $6 how many.
SELECT e.id, e.number, e.kind, e.user_id, e.facts, e.created_at, e.dispatched_at,
    coalesce((SELECT jsonb_agg(jsonb_build_object('channel', d.channel, 'state', d.state, 'attempts', d.attempts,
            'reason', d.reason, 'due_at', d.due_at, 'finished_at', d.finished_at) ORDER BY d.channel)
        FROM farebox_deliveries d WHERE d.event_id = e.id), '[]') AS deliveries
FROM farebox_events e
WHERE ($1::text IS NULL OR e.kind = $1)
    AND ($2::uuid IS NULL OR e.user_id = $2)
    AND ($3::text IS NULL OR EXISTS (SELECT FROM farebox_deliveries d WHERE d.event_id = e.id AND d.state = $3))
    AND (e.created_at, e.number) < (coalesce($4::timestamptz, 'infinity'), coalesce($5::bigint, 0))
ORDER BY e.created_at DESC, e.number DESC
LIMIT $6

-- name: one
-- One event with its deliveries.
SELECT e.id, e.number, e.kind, e.user_id, e.facts, e.created_at, e.dispatched_at,
    coalesce((SELECT jsonb_agg(jsonb_build_object('channel', d.channel, 'state', d.state, 'attempts', d.attempts,
            'reason', d.reason, 'due_at', d.due_at, 'finished_at', d.finished_at) ORDER BY d.channel)
        FROM farebox_deliveries d WHERE d.event_id = e.id), '[]') AS deliveries
FROM farebox_events e WHERE e.id = $1

-- name: replay
-- Deliver an event once more: to all it went to, and decide anew who else is told; or on channel $2 alone.
WITH again AS (
    UPDATE farebox_deliveries
    SET state = 'pending', attempts = 0, reason = '', due_at = clock_timestamp(), enqueued_at = clock_timestamp(),
        finished_at = NULL
    WHERE event_id = $1 AND state <> 'pending' AND ($2::text IS NULL OR channel = $2)
)
UPDATE farebox_events SET dispatched_at = CASE WHEN $2 IS NULL THEN NULL ELSE dispatched_at END
WHERE id = $1 RETURNING user_id

-- name: replay_dead
-- Try again what was given up, the oldest first; $1 on this channel, null is all · $2 how many at most.
WITH dead AS (
    SELECT id FROM farebox_deliveries WHERE state = 'dead' AND ($1::text IS NULL OR channel = $1)
    ORDER BY finished_at LIMIT $2
    FOR UPDATE SKIP LOCKED
), again AS (
    UPDATE farebox_deliveries d
    SET state = 'pending', attempts = 0, reason = '', due_at = clock_timestamp(), enqueued_at = clock_timestamp(),
        finished_at = NULL
    FROM dead WHERE d.id = dead.id
    RETURNING d.id
)
SELECT count(*) FROM again
