-- A request whose proxy died is settled at its last checkpoint (end_reason 'recovered'). If the true settlement arrives
-- after all, or a recovery at a later checkpoint, posting corrects the row and moves the difference: by a line of type
-- 'usage' that names the request in `corrects`, because `request_id` names its debit. A request may have several of them.
--
-- The version before may run on: it writes no corrections, and its lines satisfy all of this. Tables are locked in
-- posting's order, so the two wait for each other and do not deadlock.

-- Statistics follow what is changed in the log, whoever changes it, as 0006 follows what is added.
CREATE FUNCTION farebox_sum_up_changed_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ai_usage_daily AS known (user_id, wallet_id, api_key_id, model, day, requests, total_tokens, cost, uncollected)
    SELECT user_id, wallet_id, api_key_id, model, (created_at AT TIME ZONE 'UTC')::date,
        sum(sign), sum(sign * total_tokens), sum(sign * cost), sum(sign * uncollected)
    FROM (SELECT 1 AS sign, * FROM after_change UNION ALL SELECT -1, * FROM before_change) changed
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 5, 3, 4
    ON CONFLICT (user_id, day, api_key_id, model) DO UPDATE
    SET requests = known.requests + EXCLUDED.requests,
        total_tokens = known.total_tokens + EXCLUDED.total_tokens,
        cost = known.cost + EXCLUDED.cost,
        uncollected = known.uncollected + EXCLUDED.uncollected;
    -- of a model or key that no request has any more
    DELETE FROM ai_usage_daily known USING before_change was
    WHERE known.user_id = was.user_id AND known.day = (was.created_at AT TIME ZONE 'UTC')::date
        AND known.api_key_id = was.api_key_id AND known.model = was.model AND known.requests = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER sum_up_changed AFTER UPDATE ON ai_usage_logs
    REFERENCING OLD TABLE AS before_change NEW TABLE AS after_change
    FOR EACH STATEMENT EXECUTE FUNCTION farebox_sum_up_changed_usage();

-- NOT VALID reads no row: those that are there have no `corrects`, and so satisfy what they satisfied before.
ALTER TABLE ai_transactions
    ADD COLUMN corrects uuid,
    DROP CONSTRAINT sign_fits_type,
    ADD CONSTRAINT sign_fits_type CHECK (CASE type
        WHEN 'usage' THEN amount < 0 OR (corrects IS NOT NULL AND amount > 0)
        WHEN 'topup' THEN amount > 0
        WHEN 'bonus' THEN amount > 0
        WHEN 'refund' THEN amount <> 0
        WHEN 'adjustment' THEN amount <> 0
        ELSE false END) NOT VALID,
    DROP CONSTRAINT usage_names_its_request,
    ADD CONSTRAINT usage_names_its_request CHECK (
        num_nonnulls(request_id, corrects) = CASE type WHEN 'usage' THEN 1 ELSE 0 END) NOT VALID;
COMMENT ON COLUMN ai_transactions.corrects IS 'the request whose debit this line corrects: it was recovered, and more was known of it later';
-- Reads the table once, about a second for ten million lines; meanwhile requests are served and what they used waits.
CREATE INDEX ai_transactions_corrects ON ai_transactions (corrects) WHERE corrects IS NOT NULL;
