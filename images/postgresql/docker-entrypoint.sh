#!/bin/bash
# Makes the database cluster where there is none, then becomes the server. An initialization that was cut short leaves
# nothing that the next start would take for a database: the cluster is made beside PGDATA and moved there when complete.
set -Eeuo pipefail
shopt -s nullglob

die() {
  echo "postgresql: $*" >&2
  exit 1
}

# The value of VAR, or of the file that VAR_FILE names, or a default.
file_env() {
  local var=$1 file=$1_FILE default=${2:-}
  if [[ -n ${!var:-} && -n ${!file:-} ]]; then die "$var and $file are both set: set one of them"; fi
  if [[ -n ${!file:-} ]]; then printf -v "$var" '%s' "$(< "${!file}")"; fi
  if [[ -z ${!var:-} ]]; then printf -v "$var" '%s' "$default"; fi
  unset "$file"
}

run_init_scripts() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    echo "postgresql: running $file"
    case $file in
      *.sh) if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) "${psql[@]}" -f "$file" ;;
      *.sql.gz) gunzip -c "$file" | "${psql[@]}" ;;
      *) echo "postgresql: $file is neither .sh, .sql nor .sql.gz: ignored" >&2 ;;
    esac
  done
}

initialize() {
  local data=$PGDATA target=$PGDATA
  file_env POSTGRES_USER postgres
  file_env POSTGRES_PASSWORD
  file_env POSTGRES_DB "$POSTGRES_USER"
  local host_auth=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  [[ -n $POSTGRES_PASSWORD || $host_auth == trust ]] || die "no database in $PGDATA and POSTGRES_PASSWORD is not set: set it, it becomes the password of $POSTGRES_USER"
  if ! mountpoint -q "$target"; then
    mkdir -p "$(dirname "$target")" || die "cannot write $(dirname "$target") as uid $(id -u): mount a volume there that this uid (or its fsGroup) can write"
    data=$target.initializing
    rm -rf -- "$data" || die "cannot write $(dirname "$target") as uid $(id -u): mount a volume there that this uid (or its fsGroup) can write"
  fi
  # The builtin C.UTF-8 sorts the same under every libc, so an image on another one needs no REINDEX.
  local -a options=()
  if [[ -n ${POSTGRES_INITDB_ARGS:-} ]]; then eval "options=(${POSTGRES_INITDB_ARGS})"; fi
  initdb -D "$data" --username="$POSTGRES_USER" ${POSTGRES_PASSWORD:+--pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")} \
    --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --auth-local=trust --auth-host="$host_auth" "${options[@]}" \
    || die "initdb failed in $(dirname "$target") as uid $(id -u) (see above): the volume must be writable by this uid or its fsGroup"
  printf '\nhost all all all %s\n' "$host_auth" >> "$data/pg_hba.conf"

  # No network while the scripts run: nobody may take the half-made database for the real one.
  set -- "$@" -c listen_addresses=
  PGDATA=$data pg_ctl -D "$data" -w -o "$(printf '%q ' "${@:2}")" start
  psql=(psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER")
  if [[ $POSTGRES_DB != postgres ]]; then
    "${psql[@]}" --dbname postgres -v db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
  fi
  psql+=(--dbname "$POSTGRES_DB")
  run_init_scripts
  pg_ctl -D "$data" -m fast -w stop
  if [[ $data != "$target" ]]; then
    mv -T -- "$data" "$target" || die "$target exists and holds no database: empty it, or point PGDATA to another folder of the volume"
    sync -f "$target"
  fi
  unset POSTGRES_PASSWORD
}

if [[ ${1:0:1} == - ]]; then set -- postgres "$@"; fi
[[ $1 == postgres ]] || exec "$@"
[[ $(id -u) != 0 ]] || die "refuses to run as root: run it as uid 999"
[[ -s $PGDATA/PG_VERSION ]] || initialize "$@"
# A volume's fsGroup makes folders group-writable, and the server refuses such a data directory.
chmod 0700 "$PGDATA" 2>/dev/null || true
unset POSTGRES_PASSWORD
exec "$@"
