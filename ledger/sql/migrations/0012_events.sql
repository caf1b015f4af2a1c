-- Events that people and shops are told of, in the transaction of what happened: by webhook and by mail, later, by the
-- ledger process. Announced with accounts/notices/outbox.py, or by a trigger.

CREATE TABLE farebox_events (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind          text NOT NULL CONSTRAINT kind_is_dotted CHECK (kind ~ '^[a-z]+\.[a-z_]+$'),
    user_id       uuid NOT NULL,
    facts         jsonb NOT NULL CONSTRAINT facts_are_named CHECK (jsonb_typeof(facts) = 'object'),
    once          text NOT NULL UNIQUE CONSTRAINT once_length CHECK (length(once) BETWEEN 1 AND 300),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    dispatched_at timestamptz
);
CREATE INDEX farebox_events_new ON farebox_events (number) WHERE dispatched_at IS NULL;
CREATE INDEX farebox_events_user ON farebox_events (user_id, created_at DESC, number DESC);
CREATE INDEX farebox_events_created ON farebox_events (created_at DESC, number DESC);
COMMENT ON COLUMN farebox_events.once IS 'what the event is about: the same is announced once';
COMMENT ON COLUMN farebox_events.dispatched_at IS 'when it was decided who is told; null: not yet';

CREATE TABLE farebox_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL REFERENCES farebox_events (id) ON DELETE CASCADE,
    channel     text NOT NULL CONSTRAINT channel_known CHECK (channel = 'email' OR channel ~ '^webhook:.'),
    state       text NOT NULL DEFAULT 'pending' CONSTRAINT state_known CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts    integer NOT NULL DEFAULT 0 CONSTRAINT attempts_not_negative CHECK (attempts >= 0),
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason      text NOT NULL DEFAULT '',
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz CONSTRAINT finished_when_not_pending CHECK ((finished_at IS NULL) = (state = 'pending')),
    UNIQUE (event_id, channel)
) WITH (fillfactor = 80);
CREATE INDEX farebox_deliveries_due ON farebox_deliveries (channel, due_at) WHERE state = 'pending';
CREATE INDEX farebox_deliveries_finished ON farebox_deliveries (state, finished_at) WHERE state <> 'pending';
COMMENT ON TABLE farebox_deliveries IS 'one event on its way to one receiver; no addresses and no secrets are kept here';
COMMENT ON COLUMN farebox_deliveries.channel IS '''email'', or ''webhook:'' and the endpoint''s name in the configuration';
COMMENT ON COLUMN farebox_deliveries.due_at IS 'when it is tried next; while it is being tried, when another process may try it';
COMMENT ON COLUMN farebox_deliveries.reason IS 'why the last attempt failed';

-- What a wallet's owner was told last. A table of its own: ai_wallets is written by every debit.
-- No foreign key: adding one would lock ai_wallets for as long as this migration runs, and wallets are not deleted.
CREATE TABLE farebox_balance_watch (
    wallet_id uuid PRIMARY KEY,
    level     text NOT NULL CONSTRAINT level_known CHECK (level IN ('ok', 'low', 'empty')),
    threshold numeric(20,9) CONSTRAINT threshold_in_range CHECK (threshold BETWEEN 0 AND 9000000),
    seen_seq  bigint NOT NULL
);
COMMENT ON COLUMN farebox_balance_watch.threshold IS 'dollars, as it was at the last look';
COMMENT ON COLUMN farebox_balance_watch.seen_seq IS 'the wallet''s latest line that was looked at';

-- Who is below the threshold today was not told so, and is not told now: a wallet begins as told, and the first look
-- finds out which of them are well.
INSERT INTO farebox_balance_watch (wallet_id, level, seen_seq)
SELECT id, CASE WHEN balance > 0 THEN 'low' ELSE 'empty' END, transaction_count FROM ai_wallets;

CREATE TABLE farebox_notice_settings (
    user_id               uuid PRIMARY KEY,
    email                 text CONSTRAINT email_length CHECK (length(email) BETWEEN 3 AND 254),
    token_email           text CONSTRAINT token_email_length CHECK (length(token_email) BETWEEN 3 AND 254),
    low_balance_threshold numeric(20,9)
        CONSTRAINT low_balance_threshold_in_range CHECK (low_balance_threshold BETWEEN 0 AND 9000000),
    email_events          text[] CONSTRAINT email_events_bounded CHECK (
        cardinality(email_events) <= 50 AND array_position(email_events, NULL) IS NULL),
    updated_at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX farebox_notice_settings_updated ON farebox_notice_settings (updated_at);
COMMENT ON COLUMN farebox_notice_settings.email IS 'the user''s choice; null: token_email';
COMMENT ON COLUMN farebox_notice_settings.token_email IS 'what the user''s tokens say, when last seen';
COMMENT ON COLUMN farebox_notice_settings.low_balance_threshold IS 'dollars; null: the configured one; 0: none';
COMMENT ON COLUMN farebox_notice_settings.email_events IS 'which events to mail; null: all of them';
CREATE TRIGGER touch BEFORE UPDATE ON farebox_notice_settings FOR EACH ROW EXECUTE FUNCTION farebox_touch();

ALTER TABLE farebox_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_balance_watch ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_notice_settings ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON farebox_notice_settings TO farebox_user;
GRANT INSERT (user_id, email, low_balance_threshold, email_events),
    UPDATE (email, low_balance_threshold, email_events) ON farebox_notice_settings TO farebox_user;
CREATE POLICY own_rows ON farebox_notice_settings TO farebox_user
    USING (user_id = (SELECT farebox_current_user_id())) WITH CHECK (user_id = (SELECT farebox_current_user_id()));

-- By a trigger, so that a key switched off by an operator's SQL is announced too. Users revoke as farebox_user, which
-- may not write events: as the owner, then.
CREATE FUNCTION farebox_announce_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO farebox_events (kind, user_id, facts, once)
    VALUES ('key.revoked', NEW.user_id,
        jsonb_build_object('key_id', NEW.id, 'key_prefix', NEW.key_prefix, 'name', NEW.name),
        'key.revoked:' || NEW.id || ':' || NEW.version)
    ON CONFLICT (once) DO NOTHING;
    RETURN NULL;
END $$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION farebox_announce_revocation() SECURITY DEFINER SET search_path = %I, pg_temp', current_schema());
END $$;
CREATE TRIGGER announce_revocation AFTER UPDATE OF is_active ON ai_api_keys
    FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active)
    EXECUTE FUNCTION farebox_announce_revocation();
