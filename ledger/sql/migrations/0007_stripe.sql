-- What Stripe told us and what became of it. Rights are the owner's alone: users see the credits in ai_transactions.

CREATE TABLE farebox_stripe_events (
    id          text PRIMARY KEY,
    type        text NOT NULL,
    api_version text,
    livemode    boolean,
    received_at timestamptz NOT NULL DEFAULT now(),
    outcome     text NOT NULL DEFAULT 'received' CONSTRAINT outcome_known CHECK (
        outcome IN ('received', 'credited', 'taken_back', 'given_back', 'recorded', 'ignored', 'refused')),
    reason      text NOT NULL DEFAULT ''
);
CREATE INDEX farebox_stripe_events_received ON farebox_stripe_events (received_at);
COMMENT ON TABLE farebox_stripe_events IS 'each event once, kept in the transaction that did what it asks for';
COMMENT ON COLUMN farebox_stripe_events.outcome IS '''refused'' needs a human: the money came in and the wallet could not take it';

CREATE TABLE farebox_stripe_payments (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id        text UNIQUE,
    payment_intent_id text UNIQUE,
    wallet_id         uuid NOT NULL,
    user_id           uuid NOT NULL,
    credited          numeric(20,9) NOT NULL CONSTRAINT credited_in_range CHECK (credited BETWEEN 0.01 AND 9000000),
    taken_back        numeric(20,9) NOT NULL DEFAULT 0 CONSTRAINT taken_back_within_credited CHECK (taken_back BETWEEN 0 AND credited),
    owed              numeric(20,9) NOT NULL DEFAULT 0 CONSTRAINT owed_within_credited CHECK (owed BETWEEN 0 AND credited - taken_back),
    transaction_id    uuid NOT NULL UNIQUE REFERENCES ai_transactions (id),
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (wallet_id, user_id) REFERENCES ai_wallets (id, user_id),
    CONSTRAINT names_what_was_paid CHECK (session_id IS NOT NULL OR payment_intent_id IS NOT NULL)
);
CREATE INDEX farebox_stripe_payments_wallet ON farebox_stripe_payments (wallet_id, created_at DESC);
CREATE INDEX farebox_stripe_payments_owing ON farebox_stripe_payments (wallet_id, created_at) WHERE owed > 0;
COMMENT ON COLUMN farebox_stripe_payments.owed IS 'refunded or disputed while the wallet was empty: taken from its next payment';
COMMENT ON COLUMN farebox_stripe_payments.transaction_id IS 'the topup';

CREATE TABLE farebox_stripe_claims (
    id                text PRIMARY KEY,
    kind              text NOT NULL CONSTRAINT kind_known CHECK (kind IN ('charge', 'refund', 'dispute')),
    payment_intent_id text NOT NULL,  -- no foreign key: a refund may be announced before the payment
    amount            numeric(20,9) NOT NULL CONSTRAINT amount_in_range CHECK (amount BETWEEN 0 AND 9000000),
    is_dropped        boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX farebox_stripe_claims_payment_intent ON farebox_stripe_claims (payment_intent_id);
COMMENT ON TABLE farebox_stripe_claims IS 'what is wanted back: a charge''s total of refunds, a refund, a dispute';
COMMENT ON COLUMN farebox_stripe_claims.is_dropped IS 'the refund failed, the dispute was won';

-- No policy: nobody but the owner. Where every new table is granted to a public role (Supabase), this keeps them closed.
ALTER TABLE farebox_stripe_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_stripe_payments ENABLE ROW LEVEL SECURITY;
ALTER TABLE farebox_stripe_claims ENABLE ROW LEVEL SECURITY;
