-- Correcting usage that was recovered. Runs after post_usage, in its transaction, under its locks.

-- name: correct_usage
-- Correct rows that were recovered to what is given, and move the difference. $1 to $23 as post_usage; $24 the end_reason
-- of what was recovered. Returns how many were corrected.
--
-- The truth corrects up or down, and then the row is final. A later recovery corrects only to a greater cost, and the row
-- stays recovered: events may come again, and in any order.
--
-- More to pay: what the request still costs, at most what its wallet has. Less: given back, except what an operator had
-- refunded already; that is noted as `kept`. What is given back comes first: it may pay for the others.
WITH given AS (
    SELECT DISTINCT ON (request_id) *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
        $15::bigint[], $16::bigint[],
        $17::bigint[], $18::text[], $19::text[], $20::int[], $21::int[], $22::text[], $23::text[]
    ) WITH ORDINALITY AS e(
        request_id, user_id, wallet_id, api_key_id, pricing_id, model, endpoint,
        input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
        audio_input_tokens, audio_output_tokens, images, audio_ms,
        cost_nanos, usage_source, end_reason, status_code, response_time_ms, error_message, metadata,
        place)
    ORDER BY request_id, place
), late AS (
    SELECT given.*, logged.created_at,
        given.input_tokens + given.cached_input_tokens + given.cache_write_tokens + given.output_tokens
            + given.reasoning_tokens + given.audio_input_tokens + given.audio_output_tokens AS total_tokens,
        given.cost_nanos * 0.000000001 AS cost,
        logged.cost - logged.uncollected AS paid,
        jsonb_build_object('cost', logged.cost, 'output_tokens', logged.output_tokens) AS recovered,
        coalesce((SELECT sum(t.amount) FROM farebox_request_refunds r JOIN ai_transactions t ON t.id = r.transaction_id
            WHERE r.request_id = given.request_id), 0) AS refunded
    FROM given JOIN ai_usage_logs logged
        ON logged.id = given.request_id AND logged.created_at = farebox_uuid7_time(given.request_id)
        -- Says nothing new, and makes the primary key the cheapest index; see post_usage. So does IS NOT DISTINCT below: with
        -- an equality there is an index of users to choose.
        AND (logged.id, logged.created_at) >= (given.request_id, farebox_uuid7_time(given.request_id))
    WHERE logged.end_reason = $24 AND (logged.wallet_id, logged.user_id) IS NOT DISTINCT FROM (given.wallet_id, given.user_id)
        AND (given.end_reason <> $24 OR given.cost_nanos * 0.000000001 > logged.cost)
), wanted AS (
    SELECT late.*, w.balance, w.transaction_count,
        greatest(0, w.balance + w.overdraft) AS room,
        greatest(0, cost - paid) AS due,
        greatest(0, least(paid - cost, paid - refunded)) AS given_back
    FROM late JOIN ai_wallets w ON w.id = late.wallet_id
), running AS (
    SELECT *,
        sum(due) OVER (PARTITION BY wallet_id ORDER BY request_id) AS due_so_far,
        room + sum(given_back) OVER (PARTITION BY wallet_id) AS room_then
    FROM wanted
), clamped AS (
    SELECT *, given_back - least(due_so_far, room_then) + least(due_so_far - due, room_then) AS amount
    FROM running
), numbered AS (
    SELECT *,
        paid - amount AS collected,
        balance + sum(amount) OVER so_far AS balance_after,
        transaction_count + count(*) FILTER (WHERE amount <> 0) OVER so_far AS seq
    FROM clamped
    WINDOW so_far AS (PARTITION BY wallet_id ORDER BY given_back = 0, request_id)
), corrected AS (
    UPDATE ai_usage_logs logged
    SET pricing_id = n.pricing_id, model = n.model, endpoint = n.endpoint,
        input_tokens = n.input_tokens, cached_input_tokens = n.cached_input_tokens, cache_write_tokens = n.cache_write_tokens,
        output_tokens = n.output_tokens, reasoning_tokens = n.reasoning_tokens,
        audio_input_tokens = n.audio_input_tokens, audio_output_tokens = n.audio_output_tokens,
        images = n.images, audio_ms = n.audio_ms, total_tokens = n.total_tokens,
        cost = n.cost, uncollected = greatest(0, n.cost - n.collected),
        usage_source = n.usage_source, end_reason = n.end_reason, status_code = n.status_code,
        response_time_ms = n.response_time_ms, error_message = n.error_message,
        metadata = n.metadata::jsonb || jsonb_build_object('recovered', n.recovered || CASE
            WHEN n.collected > n.cost THEN jsonb_build_object('kept', n.collected - n.cost) ELSE '{}' END)
    FROM numbered n
    WHERE logged.id = n.request_id AND logged.created_at = n.created_at
        AND (logged.id, logged.created_at) >= (n.request_id, n.created_at)
    RETURNING logged.id
), transacted AS (
    -- What was recovered for nothing has no debit yet: this is it, then.
    INSERT INTO ai_transactions (
        user_id, wallet_id, seq, amount, type, description, balance_before, balance_after, request_id, corrects, metadata)
    SELECT
        user_id, wallet_id, seq, amount, 'usage',
        CASE WHEN paid > 0 THEN 'usage correction: ' ELSE 'usage: ' END || model,
        balance_after - amount, balance_after,
        CASE WHEN paid = 0 THEN request_id END, CASE WHEN paid > 0 THEN request_id END,
        jsonb_build_object(
            'model', model, 'endpoint', endpoint, 'api_key_id', api_key_id, 'pricing_id', pricing_id,
            'total_tokens', total_tokens, 'output_tokens', output_tokens, 'cost', cost,
            'usage_source', usage_source, 'end_reason', end_reason, 'recovered', recovered)
    FROM numbered
    WHERE amount <> 0
    ORDER BY wallet_id, seq
), moved AS (
    UPDATE ai_wallets w
    SET balance = w.balance + m.amount, transaction_count = w.transaction_count + m.transactions
    FROM (SELECT wallet_id, sum(amount) AS amount, count(*) AS transactions FROM numbered WHERE amount <> 0 GROUP BY wallet_id) m
    WHERE w.id = m.wallet_id
)
SELECT count(*) FROM corrected
