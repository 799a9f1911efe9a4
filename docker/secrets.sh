#!/bin/sh
# Makes the secrets of a deployment once, into the volume that the services mount at /run/secrets.
# Files that exist are left alone, so a second start signs with the same keys.
set -eu
folder=/run/secrets
services_group=10001
umask 027

random() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "$folder/$1" ] || printf '%s' "$2" > "$folder/$1"; }

keep django_secret_key "$(random)"
keep worker_token "$(random)"
keep livekit_api_secret "$(random)"
keep database_password "$(random)"
keep database_url "postgresql://avatar:$(cat "$folder/database_password")@postgres:5432/avatar"
keep livekit_keys "$LIVEKIT_API_KEY: $(cat "$folder/livekit_api_secret")"
chgrp "$services_group" "$folder" "$folder"/*
chmod 0750 "$folder"
chmod 0440 "$folder"/*
