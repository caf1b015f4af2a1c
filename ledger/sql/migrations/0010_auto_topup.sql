-- Auto top-up: a wallet's saved card, when and how much it is charged, and every attempt to charge it.
--
-- An attempt is committed before Stripe is asked and its id is the idempotency key, so whoever finds it open may ask
-- again: Stripe answers what it answered before and charges nothing twice.

-- What may be forgotten after a while (accounts/stripe/pruning.py), without reading past what is kept for good.
CREATE INDEX farebox_stripe_events_prunable ON farebox_stripe_events (received_at) WHERE outcome IN ('ignored', 'recorded');

-- The references lock ai_wallets against writing until this is committed: from here on nothing takes long.
CREATE TABLE farebox_auto_topups (
    wallet_id         uuid PRIMARY KEY,
    user_id           uuid NOT NULL UNIQUE,
    is_enabled        boolean NOT NULL DEFAULT false,
    threshold         numeric(20,9) CONSTRAINT threshold_in_range CHECK (threshold > 0 AND threshold <= 9000000),
    amount            numeric(20,9) CONSTRAINT amount_is_cents CHECK (amount BETWEEN 0.50 AND 999999.99 AND amount = round(amount, 2)),
    monthly_cap       numeric(20,9) CONSTRAINT monthly_cap_in_range CHECK (monthly_cap BETWEEN 0.50 AND 9000000),
    stopped_reason    text CONSTRAINT stopped_reason_is_a_word CHECK (stopped_reason ~ '^[a-z][a-z0-9_]{0,63}$'),
    customer_id       text,
    payment_method_id text,
    is_live           boolean,
    card_brand        text CONSTRAINT card_brand_is_short CHECK (length(card_brand) <= 64),
    card_last4        text CONSTRAINT card_last4_is_digits CHECK (card_last4 ~ '^[0-9]{4}$'),
    card_changed_at   timestamptz,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (wallet_id, user_id) REFERENCES ai_wallets (id, user_id),
    CONSTRAINT amount_within_cap CHECK (amount <= monthly_cap),
    CONSTRAINT card_is_whole CHECK (num_nulls(customer_id, payment_method_id, is_live) IN (0, 3)),
    CONSTRAINT enabled_is_complete CHECK (
        NOT is_enabled OR num_nulls(threshold, amount, monthly_cap, payment_method_id) = 0)
);
CREATE INDEX farebox_auto_topups_enabled ON farebox_auto_topups (wallet_id) WHERE is_enabled;
COMMENT ON COLUMN farebox_auto_topups.monthly_cap IS 'the most that is charged per calendar month (UTC), dollars';
COMMENT ON COLUMN farebox_auto_topups.stopped_reason IS 'why it was switched off by itself; null: by a person, or not at all';
COMMENT ON COLUMN farebox_auto_topups.is_live IS 'the card was saved in live mode; such a card is not charged with a test key, nor the reverse';
COMMENT ON COLUMN farebox_auto_topups.card_changed_at IS 'when the latest card was saved, also if it was forgotten since: news of an earlier one is old';

CREATE TABLE farebox_auto_topup_attempts (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    wallet_id         uuid NOT NULL,
    user_id           uuid NOT NULL,
    amount            numeric(20,9) NOT NULL CONSTRAINT amount_is_cents CHECK (amount BETWEEN 0.50 AND 999999.99 AND amount = round(amount, 2)),
    -- what was asked for is kept: asked again, it must be the same to the letter
    customer_id       text NOT NULL,
    payment_method_id text NOT NULL,
    is_live           boolean NOT NULL,
    status            text NOT NULL DEFAULT 'open' CONSTRAINT status_known CHECK (status IN ('open', 'succeeded', 'failed', 'abandoned')),
    payment_intent_id text UNIQUE,
    failure           text CONSTRAINT failure_is_a_word CHECK (failure ~ '^[a-z][a-z0-9_]{0,63}$'),
    asked             integer NOT NULL DEFAULT 0 CONSTRAINT asked_not_negative CHECK (asked >= 0),
    ask_after         timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at          timestamptz,
    FOREIGN KEY (wallet_id, user_id) REFERENCES ai_wallets (id, user_id),
    CONSTRAINT succeeded_by_an_intent CHECK (status <> 'succeeded' OR payment_intent_id IS NOT NULL),
    CONSTRAINT failed_for_a_reason CHECK ((status IN ('failed', 'abandoned')) = (failure IS NOT NULL)),
    CONSTRAINT ended_unless_open CHECK ((status = 'open') = (ended_at IS NULL))
);
-- Never two at once, whatever any process believes.
CREATE UNIQUE INDEX farebox_auto_topup_attempts_one_open ON farebox_auto_topup_attempts (wallet_id, is_live) WHERE status = 'open';
CREATE INDEX farebox_auto_topup_attempts_to_ask ON farebox_auto_topup_attempts (ask_after) WHERE status = 'open';
CREATE INDEX farebox_auto_topup_attempts_wallet ON farebox_auto_topup_attempts (wallet_id, created_at DESC);
COMMENT ON COLUMN farebox_auto_topup_attempts.status IS 'open: perhaps charged, and nobody has told us yet; abandoned: nobody ever did. Both count towards the cap';
COMMENT ON COLUMN farebox_auto_topup_attempts.ask_after IS 'whoever asks Stripe moves this ahead first: until then no other process asks';

ALTER TABLE farebox_auto_topups ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_auto_topup_attempts ENABLE ROW LEVEL SECURITY;

-- People set when and how much. Which card is charged only Stripe's signed word may set: not even its ids are shown.
GRANT SELECT (wallet_id, user_id, is_enabled, threshold, amount, monthly_cap, stopped_reason, is_live, card_brand, card_last4,
    created_at, updated_at) ON farebox_auto_topups TO farebox_user;
GRANT INSERT (wallet_id, user_id) ON farebox_auto_topups TO farebox_user;
GRANT UPDATE (is_enabled, threshold, amount, monthly_cap, stopped_reason, updated_at) ON farebox_auto_topups TO farebox_user;
GRANT SELECT (id, wallet_id, user_id, amount, is_live, status, failure, created_at, ended_at)
    ON farebox_auto_topup_attempts TO farebox_user;
CREATE POLICY own_rows ON farebox_auto_topups TO farebox_user
    USING (user_id = (SELECT farebox_current_user_id())) WITH CHECK (user_id = (SELECT farebox_current_user_id()));
CREATE POLICY own_rows ON farebox_auto_topup_attempts FOR SELECT TO farebox_user
    USING (user_id = (SELECT farebox_current_user_id()));
