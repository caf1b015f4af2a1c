-- What a key may be used for, from where, and how much of it; and keys and wallets that an operator has frozen.
--
-- Null is no restriction. An empty list allows nothing: a list that lost its last entry must not open the key to all.

ALTER TABLE ai_api_keys
    ADD COLUMN allowed_models text[] CONSTRAINT allowed_models_bounded CHECK (
        cardinality(allowed_models) <= 200 AND array_position(allowed_models, NULL) IS NULL
        AND length(array_to_string(allowed_models, ' ')) <= 20000),
    ADD COLUMN allowed_routes text[] CONSTRAINT allowed_routes_bounded CHECK (
        cardinality(allowed_routes) <= 200 AND array_position(allowed_routes, NULL) IS NULL
        AND length(array_to_string(allowed_routes, ' ')) <= 20000),
    ADD COLUMN allowed_ips cidr[] CONSTRAINT allowed_ips_bounded CHECK (
        cardinality(allowed_ips) <= 200 AND array_position(allowed_ips, NULL) IS NULL),
    -- 100,000,000 tokens in a bucket that owes a day's worth are still exact in Lua (metering/bucket.py).
    ADD COLUMN tokens_per_minute integer
        CONSTRAINT tokens_per_minute_in_range CHECK (tokens_per_minute BETWEEN 0 AND 100000000),
    ADD COLUMN max_concurrent_requests integer
        CONSTRAINT max_concurrent_requests_in_range CHECK (max_concurrent_requests BETWEEN 0 AND 100000),
    ADD COLUMN budget_daily numeric(20,9) CONSTRAINT budget_daily_in_range CHECK (budget_daily BETWEEN 0 AND 9000000),
    ADD COLUMN budget_monthly numeric(20,9) CONSTRAINT budget_monthly_in_range CHECK (budget_monthly BETWEEN 0 AND 9000000),
    ADD COLUMN budget_total numeric(20,9) CONSTRAINT budget_total_in_range CHECK (budget_total BETWEEN 0 AND 9000000),
    ADD COLUMN is_frozen boolean NOT NULL DEFAULT false,
    -- No foreign key: the key that was replaced may be deleted, and a reference would tell people which ids exist.
    ADD COLUMN rotated_from uuid CONSTRAINT not_rotated_from_itself CHECK (rotated_from <> id);
COMMENT ON COLUMN ai_api_keys.allowed_models IS 'names of models, or beginnings of names that end in *; null: any';
COMMENT ON COLUMN ai_api_keys.allowed_routes IS 'gateway paths such as /v1/chat/completions; null: any';
COMMENT ON COLUMN ai_api_keys.budget_daily IS 'the most that may be spent with this key per UTC day, dollars; null: what the wallet has';
COMMENT ON COLUMN ai_api_keys.is_frozen IS 'set by an operator: refused until unfrozen; its owner cannot change it';
COMMENT ON COLUMN ai_api_keys.rotated_from IS 'the key that this one replaces';

ALTER TABLE ai_wallets ADD COLUMN is_frozen boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ai_wallets.is_frozen IS 'set by an operator: nothing more is spent from it; credits still come in';

-- The whole list again: all of them change what a key is. Still not last_used_at.
CREATE OR REPLACE TRIGGER next_version
    BEFORE UPDATE OF user_id, key_prefix, key_hash, name, rate_limit_per_minute, rate_limit_per_day, is_active, expires_at,
        allowed_models, allowed_routes, allowed_ips, tokens_per_minute, max_concurrent_requests,
        budget_daily, budget_monthly, budget_total, is_frozen, rotated_from ON ai_api_keys
    FOR EACH ROW EXECUTE FUNCTION farebox_next_version();

-- ai_wallets is granted whole, so that its new column may be read already.
GRANT SELECT (allowed_models, allowed_routes, allowed_ips, tokens_per_minute, max_concurrent_requests,
    budget_daily, budget_monthly, budget_total, is_frozen, rotated_from) ON ai_api_keys TO farebox_user;
GRANT INSERT (allowed_models, allowed_routes, allowed_ips, tokens_per_minute, max_concurrent_requests,
    budget_daily, budget_monthly, budget_total, rotated_from) ON ai_api_keys TO farebox_user;
GRANT UPDATE (allowed_models, allowed_routes, allowed_ips, tokens_per_minute, max_concurrent_requests,
    budget_daily, budget_monthly, budget_total, rotated_from) ON ai_api_keys TO farebox_user;

-- What a key has spent so far is summed up when Redis does not know it. Neither column ever changes, so the updates of
-- today's rows still stay off the indexes.
CREATE INDEX ai_usage_daily_key ON ai_usage_daily (api_key_id, day);
