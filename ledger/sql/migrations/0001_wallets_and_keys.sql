-- Wallets, the keys that spend from them, and prices.
--
-- Money is numeric(20,9): exact nano-dollars. Every bound is written as `<=` or BETWEEN: NaN sorts above all numbers, so
-- such a bound refuses it too. 9,000,000 dollars is the most that Lua's doubles hold exactly (ledger/money.py).

CREATE TABLE ai_wallets (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id            uuid NOT NULL UNIQUE,
    balance            numeric(20,9) NOT NULL DEFAULT 0,
    overdraft          numeric(20,9) NOT NULL DEFAULT 0 CONSTRAINT overdraft_in_range CHECK (overdraft BETWEEN 0 AND 9000000),
    currency           text NOT NULL DEFAULT 'USD' CONSTRAINT currency_is_usd CHECK (currency = 'USD'),
    stripe_customer_id text UNIQUE,
    version            bigint NOT NULL DEFAULT 1,
    transaction_count  bigint NOT NULL DEFAULT 0 CONSTRAINT transaction_count_not_negative CHECK (transaction_count >= 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT balance_in_range CHECK (balance BETWEEN -overdraft AND 9000000),
    UNIQUE (id, user_id)  -- so that transactions and usage can refer to a wallet together with its owner
) WITH (fillfactor = 70);  -- balances change all day: room on the page keeps those updates off the indexes
COMMENT ON COLUMN ai_wallets.version IS 'one more with every change, set by a trigger; tells Redis which state is newer';
COMMENT ON COLUMN ai_wallets.transaction_count IS 'the seq of this wallet''s latest row in ai_transactions';

CREATE TABLE ai_api_keys (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id               uuid NOT NULL REFERENCES ai_wallets (user_id),
    key_prefix            text NOT NULL,
    key_hash              text NOT NULL,
    name                  text NOT NULL,
    rate_limit_per_minute integer NOT NULL DEFAULT 60 CONSTRAINT rate_limit_per_minute_not_negative CHECK (rate_limit_per_minute >= 0),
    rate_limit_per_day    integer NOT NULL DEFAULT 1000 CONSTRAINT rate_limit_per_day_not_negative CHECK (rate_limit_per_day >= 0),
    is_active             boolean NOT NULL DEFAULT true,
    version               bigint NOT NULL DEFAULT 1,
    last_used_at          timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    expires_at            timestamptz
) WITH (fillfactor = 80);
CREATE INDEX ai_api_keys_prefix ON ai_api_keys (key_prefix);
CREATE INDEX ai_api_keys_user ON ai_api_keys (user_id, created_at DESC);

CREATE TABLE ai_pricing (
    id                                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model                             text NOT NULL CONSTRAINT model_length CHECK (length(model) BETWEEN 1 AND 200),
    input_price_per_1k_tokens         numeric(20,9) NOT NULL CONSTRAINT input_price_in_range CHECK (input_price_per_1k_tokens BETWEEN 0 AND 9000000),
    output_price_per_1k_tokens        numeric(20,9) NOT NULL CONSTRAINT output_price_in_range CHECK (output_price_per_1k_tokens BETWEEN 0 AND 9000000),
    cached_input_price_per_1k_tokens  numeric(20,9) CONSTRAINT cached_input_price_in_range CHECK (cached_input_price_per_1k_tokens BETWEEN 0 AND 9000000),
    cache_write_price_per_1k_tokens   numeric(20,9) CONSTRAINT cache_write_price_in_range CHECK (cache_write_price_per_1k_tokens BETWEEN 0 AND 9000000),
    reasoning_price_per_1k_tokens     numeric(20,9) CONSTRAINT reasoning_price_in_range CHECK (reasoning_price_per_1k_tokens BETWEEN 0 AND 9000000),
    base_request_fee                  numeric(20,9) NOT NULL DEFAULT 0 CONSTRAINT base_request_fee_in_range CHECK (base_request_fee BETWEEN 0 AND 9000000),
    is_active                         boolean NOT NULL DEFAULT true,
    effective_from                    timestamptz NOT NULL DEFAULT now(),
    created_at                        timestamptz NOT NULL DEFAULT now(),
    updated_at                        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model, effective_from)
);
COMMENT ON COLUMN ai_pricing.cached_input_price_per_1k_tokens IS 'null: the input price';
COMMENT ON COLUMN ai_pricing.cache_write_price_per_1k_tokens IS 'null: the input price';
COMMENT ON COLUMN ai_pricing.reasoning_price_per_1k_tokens IS 'null: the output price';
