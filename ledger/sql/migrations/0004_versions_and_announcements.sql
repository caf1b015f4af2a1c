-- Every change of a wallet or key raises its version; changes not made by posting are announced, so that Redis and the
-- proxies follow. Posting sets farebox.posting for its transaction: it tells Redis itself.

CREATE FUNCTION farebox_next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE TRIGGER next_version BEFORE UPDATE ON ai_wallets
    FOR EACH ROW EXECUTE FUNCTION farebox_next_version();
-- Not for last_used_at: that a key was used changes nothing about it.
CREATE TRIGGER next_version
    BEFORE UPDATE OF user_id, key_prefix, key_hash, name, rate_limit_per_minute, rate_limit_per_day, is_active, expires_at ON ai_api_keys
    FOR EACH ROW EXECUTE FUNCTION farebox_next_version();

CREATE FUNCTION farebox_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER touch BEFORE UPDATE ON ai_pricing FOR EACH ROW EXECUTE FUNCTION farebox_touch();

CREATE FUNCTION farebox_announce_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], COALESCE(NEW.id, OLD.id)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER announce_insert AFTER INSERT ON ai_wallets
    FOR EACH ROW EXECUTE FUNCTION farebox_announce_row('farebox_wallets');
CREATE TRIGGER announce_update AFTER UPDATE ON ai_wallets
    FOR EACH ROW WHEN (current_setting('farebox.posting', true) IS DISTINCT FROM '1')
    EXECUTE FUNCTION farebox_announce_row('farebox_wallets');
CREATE TRIGGER announce_insert_or_delete AFTER INSERT OR DELETE ON ai_api_keys
    FOR EACH ROW EXECUTE FUNCTION farebox_announce_row('farebox_keys');
CREATE TRIGGER announce_update AFTER UPDATE ON ai_api_keys
    FOR EACH ROW WHEN (NEW.version <> OLD.version)
    EXECUTE FUNCTION farebox_announce_row('farebox_keys');

CREATE FUNCTION farebox_announce_prices() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('farebox_prices', '');
    RETURN NULL;
END $$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ai_pricing
    FOR EACH STATEMENT EXECUTE FUNCTION farebox_announce_prices();

-- A key always has a wallet to spend from, also one that an operator inserts by hand.
CREATE FUNCTION farebox_key_has_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ai_wallets (user_id) VALUES (NEW.user_id) ON CONFLICT (user_id) DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER key_has_wallet BEFORE INSERT ON ai_api_keys
    FOR EACH ROW EXECUTE FUNCTION farebox_key_has_wallet();
