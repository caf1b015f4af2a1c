-- The history of each wallet: append-only, numbered from 1 without gaps, each line continuing the one before.

CREATE TABLE ai_transactions (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id        uuid NOT NULL,
    wallet_id      uuid NOT NULL,
    seq            bigint NOT NULL CONSTRAINT seq_from_one CHECK (seq >= 1),
    amount         numeric(20,9) NOT NULL,
    type           text NOT NULL,
    description    text NOT NULL DEFAULT '',
    balance_before numeric(20,9) NOT NULL,
    balance_after  numeric(20,9) NOT NULL,
    request_id     uuid UNIQUE,
    metadata       jsonb NOT NULL DEFAULT '{}',
    -- Not now(), which is when the transaction began: lines are written while the wallet is locked, so the clock at
    -- writing gives them the order of their seq.
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (wallet_id, seq),
    FOREIGN KEY (wallet_id, user_id) REFERENCES ai_wallets (id, user_id),
    CONSTRAINT amount_in_range CHECK (amount BETWEEN -18000000 AND 18000000),
    CONSTRAINT balances_in_range CHECK (balance_before BETWEEN -9000000 AND 9000000 AND balance_after BETWEEN -9000000 AND 9000000),
    CONSTRAINT balance_follows CHECK (balance_after = balance_before + amount),
    CONSTRAINT sign_fits_type CHECK (CASE type
        WHEN 'usage' THEN amount < 0
        WHEN 'topup' THEN amount > 0
        WHEN 'bonus' THEN amount > 0
        WHEN 'refund' THEN amount <> 0
        WHEN 'adjustment' THEN amount <> 0
        ELSE false END),
    CONSTRAINT usage_names_its_request CHECK ((type = 'usage') = (request_id IS NOT NULL))
);
CREATE INDEX ai_transactions_user ON ai_transactions (user_id, created_at DESC);

CREATE FUNCTION farebox_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: correct a line by adding a refund or an adjustment', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ai_transactions
    FOR EACH ROW EXECUTE FUNCTION farebox_refuse_rewriting();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON ai_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION farebox_refuse_rewriting();
