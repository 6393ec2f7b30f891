# A major version reads no other's files. Saying so here beats a server that crashes in a loop.
set -eu
wanted=$(postgres --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  echo "No database in $PGDATA yet: PostgreSQL $wanted will make one."
  exit 0
fi
found=$(cat "$PGDATA/PG_VERSION")
if [ "$found" = "$wanted" ]; then
  echo "The database in $PGDATA is of major version $found, and so is this image."
  exit 0
fi
echo "The volume holds a database of PostgreSQL $found, this image is PostgreSQL $wanted. Nothing was changed." >&2
echo "Set image.tag back to $found. To upgrade: back up with version $found, and restore into an empty stack of version $wanted (docs/guide/backup.md)." >&2
exit 1
