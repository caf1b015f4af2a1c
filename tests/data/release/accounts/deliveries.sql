-- Deliveries: who is told of an event, and how far that is. All times are Postgres' clock's.

-- name: dispatch
-- Decide for the oldest new events who is told; returns how many were decided. $1, $2 webhook channels and a kind each of
-- them wants, in pairs · $3 is there a mail server · $4 mails a user may get in a day · $5 how many events.
WITH fresh AS (
    SELECT id, number, kind, user_id FROM farebox_events
    WHERE dispatched_at IS NULL ORDER BY number LIMIT $5
    FOR UPDATE SKIP LOCKED
), hooked AS (
    INSERT INTO farebox_deliveries (event_id, channel)
    SELECT fresh.id, wanted.channel
    FROM fresh JOIN unnest($1::text[], $2::text[]) AS wanted(channel, kind) ON wanted.kind = fresh.kind
    ON CONFLICT (event_id, channel) DO NOTHING
), to_mail AS (
    SELECT fresh.id, row_number() OVER (PARTITION BY fresh.user_id ORDER BY fresh.number)
        + (SELECT count(*) FROM farebox_events e JOIN farebox_deliveries d ON d.event_id = e.id AND d.channel = 'email'
           WHERE e.user_id = fresh.user_id AND e.created_at > clock_timestamp() - interval '1 day'
               AND d.reason <> 'daily_limit') AS place
    FROM fresh JOIN farebox_notice_settings n ON n.user_id = fresh.user_id
    WHERE $3 AND coalesce(n.email, n.token_email) IS NOT NULL
        AND fresh.kind = ANY(coalesce(n.email_events, ARRAY[fresh.kind]))
), mailed AS (
    INSERT INTO farebox_deliveries (event_id, channel, state, reason, finished_at)
    SELECT id, 'email',
        CASE WHEN place > $4 THEN 'dead' ELSE 'pending' END,
        CASE WHEN place > $4 THEN 'daily_limit' ELSE '' END,
        CASE WHEN place > $4 THEN clock_timestamp() END
    FROM to_mail
    ON CONFLICT (event_id, channel) DO NOTHING
), decided AS (
    UPDATE farebox_events e SET dispatched_at = clock_timestamp() FROM fresh WHERE e.id = fresh.id
    RETURNING e.id
)
SELECT count(*) FROM decided

-- name: claim
-- Take what is due on a channel for a while: $3, after which others may. $2 how many · $4 attempts that end it.
WITH due AS (
    SELECT id FROM farebox_deliveries
    WHERE state = 'pending' AND channel = $1 AND due_at <= clock_timestamp() AND attempts < $4
    ORDER BY due_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE farebox_deliveries d
SET attempts = d.attempts + 1, due_at = clock_timestamp() + $3::interval
FROM due, farebox_events e
WHERE d.id = due.id AND e.id = d.event_id
RETURNING d.id AS delivery_id, d.attempts, extract(epoch FROM clock_timestamp() - d.enqueued_at)::float8 AS age_s,
    e.id, e.kind, e.user_id, e.facts, e.created_at

-- name: address
-- Where a user's mail of one kind goes; no row: nowhere.
SELECT coalesce(email, token_email) FROM farebox_notice_settings
WHERE user_id = $1 AND coalesce(email, token_email) IS NOT NULL AND $2::text = ANY(coalesce(email_events, ARRAY[$2::text]))

-- name: delivered
-- Done, unless the claim has lapsed and another process has it.
UPDATE farebox_deliveries SET state = 'delivered', reason = '', finished_at = clock_timestamp()
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: again
-- Try again after $3.
UPDATE farebox_deliveries SET due_at = clock_timestamp() + $3::interval, reason = $4
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: bury
-- Give up.
UPDATE farebox_deliveries SET state = 'dead', reason = $3, finished_at = clock_timestamp()
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: bury_stale
-- Give up what nobody else will: its process died at the last attempt ($1), or it is older than $2 and nobody took it, as
-- its channel is not configured any more. Not what is being tried at this moment. $3 how many.
WITH stale AS (
    SELECT id FROM farebox_deliveries
    WHERE state = 'pending' AND due_at <= clock_timestamp()
        AND (attempts >= $1
            OR enqueued_at < clock_timestamp() - $2::interval AND due_at < clock_timestamp() - interval '10 minutes')
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE farebox_deliveries d
SET state = 'dead', finished_at = clock_timestamp(),
    reason = coalesce(nullif(d.reason, ''), CASE WHEN d.attempts >= $1 THEN 'interrupted' ELSE 'not_taken' END)
FROM stale WHERE d.id = stale.id

-- name: prune_deliveries
-- Throw away deliveries that ended in state $1 longer than $2 ago; $3 how many at most.
DELETE FROM farebox_deliveries WHERE id IN (
    SELECT id FROM farebox_deliveries WHERE state = $1 AND finished_at < clock_timestamp() - $2::interval
    LIMIT $3 FOR UPDATE SKIP LOCKED)

-- name: prune_events
-- Throw away events older than $1 of which no delivery is left; $2 how many at most.
DELETE FROM farebox_events WHERE id IN (
    SELECT id FROM farebox_events e
    WHERE created_at < clock_timestamp() - $1::interval AND dispatched_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM farebox_deliveries d WHERE d.event_id = e.id)
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
