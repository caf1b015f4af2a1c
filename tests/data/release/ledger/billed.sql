-- What requests used, as it was billed.

-- name: between
-- An upstream's requests that ran between two readings of its counters, summed up. Of each reading it is known when it
-- began and ended: $1, $2 the first, $3, $4 the second. $5 the upstream · $6 how long ago a request may have begun that
-- still ran at the first. `is_inside`: it began after the first and ended before the second; the others ran during one.
SELECT model, end_reason, usage_source,
    created_at >= $2 AND ended_at <= $3 AS is_inside,
    output > 0 AS has_output,
    count(*) AS requests, sum(input)::bigint AS input, sum(cached)::bigint AS cached, sum(output)::bigint AS output
FROM (
    SELECT model, end_reason, usage_source, created_at,
        created_at + response_time_ms * interval '1 millisecond' AS ended_at,
        input_tokens + cached_input_tokens + cache_write_tokens + audio_input_tokens AS input,
        cached_input_tokens AS cached,
        output_tokens + reasoning_tokens + audio_output_tokens AS output
    FROM ai_usage_logs
    WHERE created_at >= $1::timestamptz - $6::interval AND created_at <= $4::timestamptz AND metadata ->> 'upstream' = $5
) used
WHERE ended_at >= $1
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 3, 4, 5
