#!/bin/sh
# Makes the secrets of compose.yaml, once: what is there stays as it is.
set -eu
cd "$(dirname "$0")"

# Nobody else may enter. The files inside can be read by all, for a container sees them under its
# own user's number.
mkdir -p secrets
chmod 700 secrets
cd secrets

keep() { # NAME VALUE
    [ -e "$1" ] && return
    umask 077
    printf '%s' "$2" >"$1.new"
    chmod 644 "$1.new"
    mv "$1.new" "$1"
    echo "Made deploy/secrets/$1"
}

keep secret_key "$(openssl rand -base64 48 | tr -d '\n')"
keep database_password "$(openssl rand -hex 24)"
keep database_url "postgresql://automart:$(cat database_password)@postgresql/automart"
keep s3_user automart
keep s3_password "$(openssl rand -hex 24)"
