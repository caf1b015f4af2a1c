-- One request of a user's. Runs as the owner of the table and names the user itself: as the restricted role the index
-- over the client's ids could not be used, because Postgres does not trust `->>` with rows that a policy may hide.

-- name: by_request_id
-- By our id, which tells the partition: a version 7 UUID carries its time.
SELECT id, created_at, api_key_id, model, endpoint,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    audio_input_tokens, audio_output_tokens, total_tokens, images, audio_ms,
    cost, uncollected, usage_source, end_reason, status_code, response_time_ms, error_message,
    metadata->>'client_request_id' AS client_request_id
FROM ai_usage_logs
WHERE id = $2 AND created_at = farebox_uuid7_time($2) AND user_id = $1

-- name: by_client_request_id
-- By the id that the client chose; the newest, if it chose it more than once. Index: ai_usage_logs_client_id.
SELECT id, created_at, api_key_id, model, endpoint,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    audio_input_tokens, audio_output_tokens, total_tokens, images, audio_ms,
    cost, uncollected, usage_source, end_reason, status_code, response_time_ms, error_message,
    metadata->>'client_request_id' AS client_request_id
FROM ai_usage_logs
WHERE user_id = $1 AND metadata->>'client_request_id' = $2
ORDER BY created_at DESC, id DESC
LIMIT 1
