#!/bin/sh
# The primary: made where there is none, brought to the roles and the database of the profile, then served.
# Every step can be interrupted anywhere and is done again, or found done, at the next start.
. "${0%/*}/cluster.sh"

# Roles and database, before anybody can connect: the server listens on a socket of its own meanwhile.
# Skipped while nothing of it changed since it was last done to this very data. What is written meanwhile waits for
# the archive until the server itself runs: there may be none yet, and nobody shall wait for it here.
bootstrap() {
    wanted=$(cat "$CLUSTER_ETC/bootstrap.sql" "$CLUSTER_ETC/roles.sql" | sha256sum)
    mark=$CLUSTER_DATA/renecinfra.bootstrap
    if [ -e "$mark" ] && [ "$(cat "$mark")" = "$wanted" ]; then
        return
    fi
    private=$CLUSTER_RUN/bootstrap
    rm -rf "$private"
    mkdir "$private"
    "$CLUSTER_BIN/postgres" -D "$CLUSTER_DATA" -c "config_file=$CLUSTER_ETC/postgresql.conf" \
        -c listen_addresses= -c "unix_socket_directories=$private" -c archive_command= &
    server=$!
    trap 'kill -s INT "$server" 2>/dev/null || true; wait "$server" || true; exit 1' EXIT HUP INT TERM
    until "$CLUSTER_BIN/pg_isready" -q -h "$private" -p "$CLUSTER_PORT"; do
        [ -e "/proc/$server/exe" ] || fail "the server ended before roles and database could be made"
        sleep 0.02
    done
    "$CLUSTER_BIN/psql" -Xqw -o /dev/null -v ON_ERROR_STOP=1 -h "$private" -p "$CLUSTER_PORT" \
        -U postgres -d postgres -f "$CLUSTER_ETC/bootstrap.sql" -f "$CLUSTER_ETC/roles.sql"
    trap - EXIT HUP INT TERM
    kill -s INT "$server"
    wait "$server"
    printf '%s\n' "$wanted" >"$mark.new"
    mv "$mark.new" "$mark"
    rm -rf "$private"
    say "roles and database are as the profile has them"
}

# A database that is gone is not made anew as an empty one: the replica would be copied from that, and lose the
# last that there is.
require_first_time() {
    [ ! -e "$CLUSTER_MADE" ] ||
        fail "$CLUSTER_DATA is gone: bring it back with \`renecinfra restore\` or \`renecinfra failover\`;" \
            "to begin with an empty database instead, remove $CLUSTER_MADE"
}

# Whether new-cluster.sh has made one, and with programs of this version: 15 for 15.18.
made_before() {
    [ -s "$CLUSTER_DATA.new/PG_VERSION" ] || return 1
    case "$("$CLUSTER_BIN/postgres" --version)" in
        *" $(cat "$CLUSTER_DATA.new/PG_VERSION")."*) ;;
        *) return 1 ;;
    esac
}

own_data
if [ ! -e "$CLUSTER_DATA" ]; then
    require_first_time
    if made_before; then
        mv "$CLUSTER_DATA.new" "$CLUSTER_DATA"
    else
        initialise "$CLUSTER_DATA"
    fi
fi
rm -rf "$CLUSTER_DATA.new"
require_cluster
[ -e "$CLUSTER_MADE" ] || : >"$CLUSTER_MADE"
bootstrap
serve
