#!/bin/sh
# What the official image does at its first start, in short.
set -eu
mkdir -p "$PGDATA" && chown postgres "$PGDATA" && chmod 0700 "$PGDATA"
install -m 0400 -o postgres "$POSTGRES_PASSWORD_FILE" /tmp/password
cd /tmp
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  setpriv --reuid postgres --regid postgres --clear-groups \
    initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth scram-sha-256 --auth-local trust
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  setpriv --reuid postgres --regid postgres --clear-groups \
    sh -c "pg_ctl -w start -o '-h \"\" -k /tmp' && createdb -h /tmp -U $POSTGRES_USER $POSTGRES_DB; pg_ctl -w stop"
fi
exec setpriv --reuid postgres --regid postgres --clear-groups \
  postgres -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql,/tmp
