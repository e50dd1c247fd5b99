#!/bin/sh
# The files of a new cluster, which take a second to make, while the secrets are set up that its roles need.
# The primary takes them at its first start; without them it makes them itself.
. "${0%/*}/cluster.sh"

mkdir -p "${CLUSTER_DATA%/*}"
exec 9>"$CLUSTER_DATA.lock"
# Whoever holds the lock has a cluster, or is making one.
if flock --nonblock 9 && [ ! -e "$CLUSTER_DATA" ] && [ ! -e "$CLUSTER_MADE" ] && [ ! -e "$CLUSTER_DATA.new" ]; then
    initialise "$CLUSTER_DATA.new"
fi
