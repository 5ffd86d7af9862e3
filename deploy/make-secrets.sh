#!/bin/sh
# Generates the secrets of compose.yaml that do not exist yet.
set -eu
cd "$(dirname "$0")"

# Other users cannot enter the folder. The files in it are world-readable, because the containers
# read them as users with other numbers.
mkdir -p secrets
chmod 700 secrets
cd secrets

keep() { # NAME VALUE
    [ -e "$1" ] && return
    umask 077
    printf '%s' "$2" >"$1.new"
    chmod 644 "$1.new"
    mv "$1.new" "$1"
    echo "Generated deploy/secrets/$1"
}

keep secret_key "$(openssl rand -base64 48 | tr -d '\n')"
keep database_password "$(openssl rand -hex 24)"
keep database_url "postgresql://automart:$(cat database_password)@postgresql/automart"
keep redis_password "$(openssl rand -hex 24)"
keep redis_url "redis://:$(cat redis_password)@redis:6379/0"
keep minio_root_password "$(openssl rand -hex 24)"
keep s3_user automart
keep s3_password "$(openssl rand -hex 24)"
