-- What each user's requests come to, by key, model and day: statistics read this instead of every request.
--
-- Measured with benchmarks/usage_statistics.py, 10 million requests, 1 million of them one user's: without, that user's
-- month took 75 ms on an idle machine (130 to 300 on a busy one) and eleven months 0.5 to 1.4 s; with, 1 and 5 ms.
--
-- Kept by a trigger, in the transaction that logs the requests: it counts whoever writes them, also a ledger process of
-- the version before, which may still run while this is applied. Rows inserted into a partition by its own name are not
-- seen; `farebox audit` names such a difference.

CREATE TABLE ai_usage_daily (
    user_id      uuid NOT NULL,
    wallet_id    uuid NOT NULL,
    api_key_id   uuid NOT NULL,
    model        text NOT NULL,
    day          date NOT NULL,
    requests     bigint NOT NULL,
    -- Of any size: a sum that overflowed would keep good requests from being posted.
    total_tokens numeric NOT NULL,
    cost         numeric NOT NULL,
    uncollected  numeric NOT NULL,
    PRIMARY KEY (user_id, day, api_key_id, model)
) WITH (fillfactor = 70);  -- today's rows change with every batch: room on the page keeps those updates off the index
COMMENT ON TABLE ai_usage_daily IS 'ai_usage_logs summed up; days are UTC';

ALTER TABLE ai_usage_daily ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON ai_usage_daily TO farebox_user;
CREATE POLICY own_rows ON ai_usage_daily FOR SELECT TO farebox_user USING (user_id = (SELECT farebox_current_user_id()));

-- In key order. Posting holds the wallets' locks by then, so nobody else is at these users' rows.
CREATE FUNCTION farebox_sum_up_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ai_usage_daily AS known (user_id, wallet_id, api_key_id, model, day, requests, total_tokens, cost, uncollected)
    SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date,
        count(*), sum(total_tokens), sum(cost), sum(uncollected)
    FROM added
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 5, 3, 4
    ON CONFLICT (user_id, day, api_key_id, model) DO UPDATE
    SET requests = known.requests + EXCLUDED.requests,
        total_tokens = known.total_tokens + EXCLUDED.total_tokens,
        cost = known.cost + EXCLUDED.cost,
        uncollected = known.uncollected + EXCLUDED.uncollected;
    RETURN NULL;
END $$;
CREATE TRIGGER sum_up AFTER INSERT ON ai_usage_logs REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION farebox_sum_up_usage();

-- The trigger is there and its lock held: what is logged from here on is counted, and this counts what was before.
SET LOCAL work_mem = '128MB';
INSERT INTO ai_usage_daily (user_id, wallet_id, api_key_id, model, day, requests, total_tokens, cost, uncollected)
SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date,
    count(*), sum(total_tokens), sum(cost), sum(uncollected)
FROM ai_usage_logs
GROUP BY 1, 2, 3, 4, 5;
