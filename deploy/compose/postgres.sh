#!/bin/sh
# Once, when the database is made: a role that owns it and is no superuser, and the role that users' queries run as.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --set password="$FAREBOX_POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE farebox LOGIN PASSWORD :'password';
CREATE DATABASE farebox OWNER farebox;
CREATE ROLE farebox_user NOLOGIN;
GRANT farebox_user TO farebox;
SQL
