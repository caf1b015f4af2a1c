-- `GET /v1/usage/{id}` by the id that a client gave its request (`x-client-request-id`), which it may have given twice.
--
-- Only requests that came with one are in it. Building it reads the log once, about four seconds for ten million
-- rows; meanwhile requests are served and what they used waits in the Stream.
CREATE INDEX ai_usage_logs_client_id ON ai_usage_logs (user_id, (metadata->>'client_request_id'), created_at DESC, id DESC)
    WHERE metadata->>'client_request_id' IS NOT NULL;
