#!/bin/sh
# Makes the secrets of docker-compose.yml, once: random ones, in secrets/, which git and images leave out.
# The files can be read by the users inside the containers; the folder, on this machine, only by its owner.
set -eu
cd "$(dirname "$0")/.."
umask 077
mkdir secrets || { echo "secrets/ is there already; remove it to make new ones" >&2; exit 1; }
new() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
new > secrets/postgres_password
new > secrets/store_password
new > secrets/grafana_password
new > secrets/service_password
printf store > secrets/store_user
printf hposvc > secrets/service_user
printf none > secrets/metrics_key # once the service has keys: docs/operations.md, "Watching"
printf 'postgresql+psycopg://hposvc:%s@database/hposvc' "$(cat secrets/postgres_password)" > secrets/hposvc_database_url
printf '[default]\naws_access_key_id = hposvc\naws_secret_access_key = %s\n' "$(cat secrets/service_password)" \
    > secrets/aws_credentials
chmod 444 secrets/*
