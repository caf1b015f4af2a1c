-- Which memories of Redis the ledger has met. Redis keeps a mark of its own in each shard; where the ledger finds none it
-- makes one and notes it here. A second one says that the shard was emptied: what requests had used and was not posted
-- by then is lost, and `farebox audit` says so until somebody accepts it.

CREATE TABLE farebox_redis_lives (
    shard       integer NOT NULL,
    life        uuid NOT NULL,
    is_first    boolean NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,
    PRIMARY KEY (shard, life)
);
COMMENT ON COLUMN farebox_redis_lives.accepted_at IS 'an operator knows of the loss (farebox audit --accept-loss)';
ALTER TABLE farebox_redis_lives ENABLE ROW LEVEL SECURITY;
