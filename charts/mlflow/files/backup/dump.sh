# Writes the database's dump to $WORK/database.dump and the backup's name, the time at which it began, to $WORK/name.
set -eu
began=$(date -u +%Y%m%dT%H%M%SZ)
rm -f "$WORK/database.dump"
pg_dump --format=custom --no-owner --no-privileges --no-password --file="$WORK/database.part"
pg_restore --list "$WORK/database.part" >/dev/null
mv "$WORK/database.part" "$WORK/database.dump"
echo "$began" > "$WORK/name"
echo "Dumped $PGDATABASE at $PGHOST as of $began"
