#!/bin/sh
# The streaming replica: copied from the primary where there is none, then served. Its data is a copy, so when
# it certainly cannot follow the primary any more (see compare.sql) it is copied again. The old copy goes only
# when the new one is whole. Besides cluster.sh's variables the manifest sets PRIMARY_PORT and PRIMARY_SLOT.
. "${0%/*}/cluster.sh"

export PGPASSFILE="$CLUSTER_ETC/primary.pgpass"
primary="host=127.0.0.1 port=$PRIMARY_PORT user=renec_replication connect_timeout=5"

ask() {
    "$CLUSTER_BIN/psql" -XqAtw -v ON_ERROR_STOP=1 "$@"
}

# PRIMARY_SLOT on the primary, where a restored primary may have lost it.
make_slot() {
    "$CLUSTER_BIN/pg_receivewal" -w -d "$primary" --slot="$PRIMARY_SLOT" --create-slot --if-not-exists
}

finish_copy() {
    if [ -e "$CLUSTER_DATA.new" ]; then
        rm -rf "$CLUSTER_DATA"
        mv "$CLUSTER_DATA.new" "$CLUSTER_DATA"
        say "the new copy is in place"
    fi
}

copy() {
    building=$CLUSTER_DATA.building
    rm -rf "$building"
    tries=0
    until "$CLUSTER_BIN/pg_isready" -q -d "$primary"; do
        [ "$tries" -lt 300 ] || fail "the primary on port $PRIMARY_PORT does not answer: nothing to copy from"
        tries=$((tries + 1))
        sleep 0.1
    done
    make_slot
    "$CLUSTER_BIN/pg_basebackup" -w -d "$primary" -D "$building" \
        --wal-method=stream --slot="$PRIMARY_SLOT" --checkpoint=fast
    touch "$building/standby.signal"
    mv "$building" "$CLUSTER_DATA.new"
    finish_copy
}

# Where a timeline ended and the primary's began, from the primary's history of timelines; none if it is not
# in there, empty if both are on the same. $1 is the replica's timeline, $2 the primary's.
fork_of() {
    if [ "$2" -gt "$1" ]; then
        ask -c "TIMELINE_HISTORY $2" "$primary replication=true" |
            awk -v timeline="$1" '{ sub(/^[^|]*\|/, "") } $1 == timeline { found = $2 } END { print found ? found : "none" }'
    fi
}

field() {
    printf '%s\n' "$control" | sed -n "s/^$1: *//p"
}

# Prints why the copy cannot follow the primary; prints nothing when it can. Fails when the primary is not to
# be asked, which decides nothing.
compare() {
    mine=$(field "Latest checkpoint's TimeLineID")
    replayed=$(field "Min recovery ending loc's timeline")
    if [ "$replayed" -gt "$mine" ]; then
        mine=$replayed
    fi
    theirs=$(ask -c IDENTIFY_SYSTEM "$primary replication=true" | cut -d '|' -f 2) && [ -n "$theirs" ] || return 1
    fork=$(fork_of "$mine" "$theirs") || return 1
    ask -v identifier="$(field 'Database system identifier')" -v timeline="$mine" -v fork="$fork" \
        -v checkpoint="$(field 'Latest checkpoint location')" -v slot="$PRIMARY_SLOT" \
        -v replayed="$(field 'Minimum recovery ending location')" -f "$CLUSTER_ETC/compare.sql" \
        "$primary dbname=postgres"
}

follow() {
    [ -e "$CLUSTER_DATA/standby.signal" ] ||
        fail "$CLUSTER_DATA was promoted, so it is no mere copy and nothing is made over it: move it away to start again"
    if ! why=$(compare); then
        say "the primary on port $PRIMARY_PORT cannot be asked: starting with the copy that is here"
    elif [ -n "$why" ]; then
        say "the copy cannot follow the primary: $why. Copying again"
        "$CLUSTER_BIN/pg_receivewal" -w -d "$primary" --slot="$PRIMARY_SLOT" --drop-slot 2>/dev/null || true
        copy
    else
        make_slot
    fi
}

own_data
finish_copy
if [ -e "$CLUSTER_DATA" ]; then
    require_cluster
    control=$(LC_ALL=C "$CLUSTER_BIN/pg_controldata" -D "$CLUSTER_DATA")
    follow
else
    copy
fi
# A standby must allow at least the connections that the primary allowed at the point it has replayed to.
control=$(LC_ALL=C "$CLUSTER_BIN/pg_controldata" -D "$CLUSTER_DATA")
connections=$(field 'max_connections setting')
if [ "$connections" -gt "$CLUSTER_CONNECTIONS" ]; then
    serve -c "max_connections=$connections"
fi
serve
