#!/bin/sh
# Makes what is secret, once: files in ./secrets (or the folder that is given). What is there stays as it is.
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/secrets}
mkdir -p "$folder"
cd "$folder"

hex() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Writes standard input to a file, unless there is one. The containers' users have other numbers than you, so the files
# can be read by all, and the folder by you alone.
keep() {
    if [ -e "$1" ]; then cat > /dev/null; else cat > "$1"; chmod 0444 "$1"; fi
}

hex | keep postgres_password
hex | keep grafana_password
head -c 32 /dev/urandom | base64 | keep novapulse_secret_key
[ -e valkey_conf ] || printf 'requirepass %s\n' "$(hex)" | keep valkey_conf
printf 'postgresql://novapulse:%s@postgres:5432/novapulse\n' "$(cat postgres_password)" | keep novapulse_database_url  # pragma: allowlist secret
printf 'redis://:%s@valkey:6379/0\n' "$(sed -n 's/^requirepass //p' valkey_conf)" | keep novapulse_redis_url

# Prometheus' key can be made when NovaPulse runs:
#   docker compose exec web-a novapulse apikey create --name prometheus --scope metrics > secrets/metrics_key
[ -e metrics_key ] || { : > metrics_key; chmod 0644 metrics_key; }

echo "The secrets are in $folder. Keep a copy of novapulse_secret_key elsewhere: without it a backup cannot be used."
