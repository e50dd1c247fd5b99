# What both run scripts share; sourced by them. The service's manifest sets:
#   CLUSTER_DATA  the data directory; what is beside it is ours, too (CLUSTER_DATA.building, .lock …)
#   CLUSTER_BIN   where the PostgreSQL programs of the right major version are
#   CLUSTER_ETC   this service's configuration
#   CLUSTER_RUN   the directory of the unix sockets
#   CLUSTER_PORT  the port
set -eu
umask 077

# Says that there was a database: above the service's directory, which may be gone as a whole.
CLUSTER_MADE=${CLUSTER_DATA%/*}.made

say() {
    printf 'run.sh: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# The processes that work in the data directory. PostgreSQL's processes write their titles over what
# /proc/PID/environ shows and each leads a process group of its own, but all of them stay in this directory.
holders() {
    for cwd in /proc/[0-9]*/cwd; do
        if [ "$cwd" -ef "$CLUSTER_DATA" ]; then
            pid=${cwd#/proc/}
            printf '%s\n' "${pid%/cwd}"
        fi
    done
}

# After `kill -9` of the postmaster, backends in the middle of a statement live on, and keep a new one from
# starting. QUIT makes them leave without a word to the client, as a crash would; what they had not committed
# is undone by recovery. KILL is for those that do not hear.
end_leftovers() {
    signal=QUIT
    tries=0
    while left=$(holders) && [ -n "$left" ]; do
        if [ "$tries" -eq 0 ] || [ "$tries" -eq 250 ]; then
            say "ending what an earlier start left behind ($signal):" $left
            kill -s "$signal" $left 2>/dev/null || true
            signal=KILL
        fi
        [ "$tries" -lt 500 ] || fail "cannot end the processes in $CLUSTER_DATA:" $left
        tries=$((tries + 1))
        sleep 0.02
    done
}

# The lock is inherited by every process of the cluster, so whoever has it is alone with the data. Then a
# postmaster.pid or a socket's lock file is certainly stale. PostgreSQL itself would only look whether any
# process has the number in it, which after a reboot may be another service of the same user.
own_data() {
    mkdir -p "${CLUSTER_DATA%/*}"
    end_leftovers
    exec 9>"$CLUSTER_DATA.lock"
    flock --wait 10 9 || fail "another process holds $CLUSTER_DATA.lock"
    rm -f "$CLUSTER_DATA/postmaster.pid"
    rm -f "$CLUSTER_RUN/.s.PGSQL.$CLUSTER_PORT" "$CLUSTER_RUN/.s.PGSQL.$CLUSTER_PORT.lock"
}

# Make a new cluster in a directory that is not there yet.
# C collation: sorting and indexes do not change with the C library, and LIKE 'x%' can use an index.
# C.UTF-8 character types: upper and lower know the letters of Spanish, so that ILIKE does.
initialise() {
    rm -rf "$1.building"
    "$CLUSTER_BIN/initdb" --pgdata="$1.building" --username=postgres --encoding=UTF8 \
        --locale=C.UTF-8 --lc-collate=C --data-checksums \
        --auth-local=peer --auth-host=scram-sha-256 --no-instructions >/dev/null
    mv "$1.building" "$1"
    say "made a new cluster in $1"
}

require_cluster() {
    [ -s "$CLUSTER_DATA/PG_VERSION" ] ||
        fail "$CLUSTER_DATA is no database cluster, and nothing is made over it: move it away, then start again"
}

# Become the server; further options override postgresql.conf.
serve() {
    exec "$CLUSTER_BIN/postgres" -D "$CLUSTER_DATA" -c "config_file=$CLUSTER_ETC/postgresql.conf" "$@"
}
