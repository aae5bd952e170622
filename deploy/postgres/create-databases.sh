#!/bin/sh
# Makes the two databases, each with an owner of its own: the ledger's, which is kept for ever, and
# Prefect's. Runs once, when PostgreSQL's folder is new. Reads POSTGRES_LEDGER_PASSWORD and POSTGRES_PREFECT_PASSWORD.
set -eu

for name in autochrome prefect; do
    case $name in
    autochrome) password=$POSTGRES_LEDGER_PASSWORD ;;
    prefect) password=$POSTGRES_PREFECT_PASSWORD ;;
    esac
    # By the environment: a command line is everyone's to read.
    PASSWORD=${password} psql --no-psqlrc --set ON_ERROR_STOP=1 --set name="$name" \
        --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password PASSWORD
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
