# Loads $WORK/database.dump, if restore.py put one there, in one transaction: afterwards the database has all or nothing.
set -eu
if [ ! -e "$WORK/database.dump" ]; then
  echo "No dump to load."
  exit 0
fi
tables=$(psql --no-psqlrc --no-password --tuples-only --no-align --set=ON_ERROR_STOP=1 --command="
  SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname NOT IN ('pg_catalog', 'information_schema')
  AND nspname NOT LIKE 'pg\_toast%' AND nspname NOT LIKE 'pg\_temp%'")
# Another pod of the server may have been faster.
if [ "$tables" != 0 ]; then
  echo "The database holds $tables tables already: nothing is restored"
  exit 0
fi
pg_restore --single-transaction --exit-on-error --no-owner --no-privileges --no-password --dbname="$PGDATABASE" "$WORK/database.dump"
rm "$WORK/database.dump"
echo "The database $PGDATABASE at $PGHOST is restored."
