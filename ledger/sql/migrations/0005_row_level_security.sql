-- Row-level security: what the account API does for a user, it does as the role farebox_user, which sees that user's
-- rows only, whatever the query says (accounts/as_user.py).
--
-- The owner of the tables is not restricted (no FORCE): the ledger posts for everybody. So Farebox must connect as the
-- owner or a member of it. Every table has row security switched on, also those that farebox_user may not touch: where
-- new tables are granted to other roles by default, as in Supabase's `public`, these see nothing of ours.

DO $$
DECLARE
    -- Up to version 15 a member may always SET ROLE; since then that is a privilege of its own.
    set_role   constant text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    to_be_run  constant text := format('GRANT farebox_user TO %I', current_user);
BEGIN
    -- Roles belong to the server: another of its databases may be migrated at this moment, and make the role first.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'farebox_user') THEN
        BEGIN
            CREATE ROLE farebox_user NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role farebox_user does not exist and % may not create it. A superuser must run: CREATE ROLE farebox_user NOLOGIN; %;',
                    current_user, to_be_run USING ERRCODE = 'insufficient_privilege';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'farebox_user' AND (rolsuper OR rolbypassrls OR rolcanlogin))
        OR EXISTS (SELECT FROM pg_auth_members WHERE member = 'farebox_user'::regrole) THEN
        RAISE EXCEPTION 'the role farebox_user must be NOLOGIN NOSUPERUSER NOBYPASSRLS and a member of no other role, or it protects nothing';
    END IF;
    FOR attempt IN 1..20 LOOP
        EXIT WHEN pg_has_role(current_user, 'farebox_user', set_role);
        BEGIN
            EXECUTE to_be_run;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not act as the role farebox_user. A superuser must run: %;', current_user, to_be_run
                    USING ERRCODE = 'insufficient_privilege';
            -- Before version 16, two grants of one role at once end for one of them in "tuple concurrently updated".
            WHEN unique_violation OR internal_error THEN PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    IF NOT pg_has_role(current_user, 'farebox_user', set_role) THEN
        RAISE EXCEPTION '% may still not act as the role farebox_user. A superuser must run: %;', current_user, to_be_run
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT has_schema_privilege('farebox_user', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO farebox_user', current_schema());
    END IF;
END $$;

-- Late-bound: `auth.uid()` is Supabase's, and elsewhere there is no such function, nor need its schema be open to us.
-- In a Supabase database `GRANT farebox_user TO authenticated` lets people read their rows through Supabase's own API.
-- A setting that a rolled back transaction had set is empty afterwards, not missing.
CREATE FUNCTION farebox_current_user_id() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
DECLARE
    user_id uuid := nullif(current_setting('farebox.user_id', true), '')::uuid;
BEGIN
    IF user_id IS NULL AND EXISTS (
        SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'auth' AND p.proname = 'uid' AND p.pronargs = 0 AND p.prorettype = 'uuid'::regtype
            AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')) THEN
        EXECUTE 'SELECT auth.uid()' INTO user_id;
    END IF;
    RETURN user_id;
END $$;
COMMENT ON FUNCTION farebox_current_user_id IS 'whose rows the policies show: farebox.user_id, or auth.uid() where that exists; null sees nothing';
GRANT EXECUTE ON FUNCTION farebox_current_user_id TO farebox_user;

ALTER TABLE ai_wallets ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_transactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_usage_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE ai_pricing ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_migrations ENABLE ROW LEVEL SECURITY;

GRANT SELECT ON ai_wallets, ai_transactions, ai_usage_logs, ai_pricing TO farebox_user;
-- By column: never the hash. A later column that people may see or set must be granted by the migration that adds it.
GRANT SELECT (id, user_id, key_prefix, name, rate_limit_per_minute, rate_limit_per_day, is_active, last_used_at,
    created_at, updated_at, expires_at) ON ai_api_keys TO farebox_user;
GRANT INSERT (user_id, key_prefix, key_hash, name, rate_limit_per_minute, rate_limit_per_day, expires_at)
    ON ai_api_keys TO farebox_user;
GRANT UPDATE (name, rate_limit_per_minute, rate_limit_per_day, is_active, expires_at) ON ai_api_keys TO farebox_user;

-- In a sub-select the function is called once per query; bare, it would be called for every row.
CREATE POLICY own_rows ON ai_wallets FOR SELECT TO farebox_user USING (user_id = (SELECT farebox_current_user_id()));
CREATE POLICY own_rows ON ai_transactions FOR SELECT TO farebox_user USING (user_id = (SELECT farebox_current_user_id()));
CREATE POLICY own_rows ON ai_usage_logs FOR SELECT TO farebox_user USING (user_id = (SELECT farebox_current_user_id()));
CREATE POLICY own_rows ON ai_api_keys TO farebox_user
    USING (user_id = (SELECT farebox_current_user_id())) WITH CHECK (user_id = (SELECT farebox_current_user_id()));
CREATE POLICY everybody ON ai_pricing FOR SELECT USING (true);

-- A partition asked for by its own name has no policies: closed to all but the owner. Through the table above it, the
-- policies of that table count.
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ai_usage_logs'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
    END LOOP;
END $$;

-- As in 0003, and closed from the start.
CREATE OR REPLACE FUNCTION farebox_ensure_usage_partitions(months_ahead integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    month_start timestamptz;
    month_end   timestamptz;
    part        text;
    made        integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('farebox_ensure_usage_partitions'));
    FOR i IN 0..months_ahead LOOP
        month_start := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        month_end := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
        part := 'ai_usage_logs_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        -- Made beside the table and attached after: rows that meanwhile went to the default partition move first.
        EXECUTE format('CREATE TABLE %I (LIKE ai_usage_logs INCLUDING ALL)', part);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format('WITH moved AS (DELETE FROM ai_usage_logs_default WHERE created_at >= %L AND created_at < %L RETURNING *)'
            ' INSERT INTO %I SELECT * FROM moved', month_start, month_end, part);
        EXECUTE format('ALTER TABLE ai_usage_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, month_start, month_end);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION farebox_ensure_usage_partitions FROM PUBLIC;

-- A user who makes a key may not write wallets, but the key's wallet must be there: as the owner, then.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION farebox_key_has_wallet() SECURITY DEFINER SET search_path = %I, pg_temp', current_schema());
END $$;
