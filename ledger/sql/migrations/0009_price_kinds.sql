-- Prices per image, per minute of audio and per 1,000 tokens of audio, and the usage that they apply to.
--
-- A ledger process of the version before may run on: it logs rows of five buckets, the new columns are 0 then, and the
-- total is what it was.

ALTER TABLE ai_pricing
    ADD COLUMN audio_input_price_per_1k_tokens  numeric(20,9)
        CONSTRAINT audio_input_price_in_range CHECK (audio_input_price_per_1k_tokens BETWEEN 0 AND 9000000),
    ADD COLUMN audio_output_price_per_1k_tokens numeric(20,9)
        CONSTRAINT audio_output_price_in_range CHECK (audio_output_price_per_1k_tokens BETWEEN 0 AND 9000000),
    ADD COLUMN image_price                      numeric(20,9)
        CONSTRAINT image_price_in_range CHECK (image_price BETWEEN 0 AND 9000000),
    ADD COLUMN audio_minute_price               numeric(20,9)
        CONSTRAINT audio_minute_price_in_range CHECK (audio_minute_price BETWEEN 0 AND 9000000);
COMMENT ON COLUMN ai_pricing.audio_input_price_per_1k_tokens IS 'null: the input price';
COMMENT ON COLUMN ai_pricing.audio_output_price_per_1k_tokens IS 'null: the output price';
COMMENT ON COLUMN ai_pricing.image_price IS 'for each image; null: only its tokens are charged';
COMMENT ON COLUMN ai_pricing.audio_minute_price IS 'by the millisecond; null: only its tokens are charged';

-- A constant default rewrites no row, and NOT VALID reads none: those that are there have 0 in the new columns, and so
-- satisfy each of these. The table is locked for a moment, however large it is.
ALTER TABLE ai_usage_logs
    ADD COLUMN audio_input_tokens  bigint NOT NULL DEFAULT 0,
    ADD COLUMN audio_output_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN images              bigint NOT NULL DEFAULT 0,
    ADD COLUMN audio_ms            bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT audio_input_tokens_not_negative CHECK (audio_input_tokens >= 0) NOT VALID,
    ADD CONSTRAINT audio_output_tokens_not_negative CHECK (audio_output_tokens >= 0) NOT VALID,
    ADD CONSTRAINT images_not_negative CHECK (images >= 0) NOT VALID,
    ADD CONSTRAINT audio_ms_not_negative CHECK (audio_ms >= 0) NOT VALID,
    DROP CONSTRAINT total_is_the_sum_of_buckets,
    ADD CONSTRAINT total_is_the_sum_of_buckets CHECK (
        total_tokens = input_tokens + cached_input_tokens + cache_write_tokens + output_tokens + reasoning_tokens
            + audio_input_tokens + audio_output_tokens) NOT VALID;
COMMENT ON COLUMN ai_usage_logs.input_tokens IS 'without cached, cache-written and audio ones: the seven buckets are disjoint';
COMMENT ON COLUMN ai_usage_logs.output_tokens IS 'without reasoning and audio ones: the seven buckets are disjoint';
COMMENT ON COLUMN ai_usage_logs.images IS 'priced by the piece; the tokens that a server counts for them are in input_tokens or output_tokens';
COMMENT ON COLUMN ai_usage_logs.audio_ms IS 'priced by the minute; milliseconds';
