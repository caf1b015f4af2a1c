-- Who is connected, by the name that each process of ours gives.

-- name: running_processes
-- $1 the caller's own name. Every process that runs keeps a connection on which it listens for changes. A session whose
-- user we may not look at has no name here.
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'farebox-%' AND application_name <> $1
ORDER BY application_name
