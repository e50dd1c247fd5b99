#!/bin/sh
# Streams WAL as it is written into a directory beside the backups. The manifest sets:
#   RECEIVER_BIN        where the PostgreSQL programs are
#   RECEIVER_ETC        this service's configuration
#   RECEIVER_DIRECTORY  above one directory per system identifier and timeline
#   RECEIVER_SLOT       the slot by which the primary keeps what has not been received
#   PRIMARY_PORT        the primary's port
set -eu
umask 077

export PGPASSFILE="$RECEIVER_ETC/primary.pgpass"
primary="host=127.0.0.1 port=$PRIMARY_PORT user=renec_replication connect_timeout=5 application_name=$RECEIVER_SLOT"

say() {
    printf 'receiver.sh: %s\n' "$*" >&2
}

said=
until facts=$("$RECEIVER_BIN/psql" -XqAtw -v ON_ERROR_STOP=1 -c IDENTIFY_SYSTEM "$primary replication=true" 2>/dev/null) &&
    [ -n "$facts" ]; do
    [ -n "$said" ] || say "waiting for the primary on port $PRIMARY_PORT"
    said=yes
    sleep 0.2
done
system=${facts%%|*}
rest=${facts#*|}
timeline=${rest%%|*}

# A database that was restored or made anew begins with an empty directory: with an older one's the receiver
# would ask for WAL that is not there, for ever. After a promotion while it streams, it follows by itself.
directory=$RECEIVER_DIRECTORY/$system-$timeline
ask() {
    "$RECEIVER_BIN/psql" -XqAtw -v ON_ERROR_STOP=1 -c "$1" "$primary dbname=postgres"
}

# Away for longer than the slot keeps WAL, the receiver would ask in vain for ever. The archive has what is in
# between; what was received stays beside it until the archive is known to have it, too.
status=$(ask "SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$RECEIVER_SLOT'") || status=
if [ "$status" = lost ]; then
    say "the primary no longer has the WAL that comes next: beginning anew"
    "$RECEIVER_BIN/pg_receivewal" -w -d "$primary" --slot="$RECEIVER_SLOT" --drop-slot
    if [ -d "$directory" ]; then
        mv "$directory" "$directory-until-$(date -u +%Y%m%dT%H%M%SZ)"
    fi
fi
mkdir -p "$directory"
"$RECEIVER_BIN/pg_receivewal" -w -d "$primary" --slot="$RECEIVER_SLOT" --create-slot --if-not-exists
say "receiving into $directory"
exec "$RECEIVER_BIN/pg_receivewal" -w -d "$primary" -D "$directory" --slot="$RECEIVER_SLOT" --no-loop \
    --status-interval=1
