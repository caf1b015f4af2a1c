-- Whether Redis is still the one that it was; see ledger/lives.py.

-- name: note_life
-- Note a mark that was found or made; true if another was known before, and this one was not.
INSERT INTO farebox_redis_lives (shard, life, is_first)
SELECT $1, $2, NOT EXISTS (SELECT FROM farebox_redis_lives WHERE shard = $1)
ON CONFLICT (shard, life) DO NOTHING
RETURNING NOT is_first

-- name: accept_losses
-- An operator knows of all that was lost so far; returns of how many times.
WITH accepted AS (
    UPDATE farebox_redis_lives SET accepted_at = now() WHERE NOT is_first AND accepted_at IS NULL RETURNING shard
)
SELECT count(*) FROM accepted
