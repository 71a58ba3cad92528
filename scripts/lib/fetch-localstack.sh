#!/usr/bin/env bash
# Puts LocalStack, which plays SNS and SQS in the tests, into the cache, where tests/live/sns.rs finds it. Its last open
# version runs on Python 3.13 alone, with pins that are beside the tests; without that Python this ends with 3.
# Needs no root and touches nothing else. The folder is complete whenever it is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=2026.3.0
folder="${BROKERBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/brokerbench/localstack-$version"
[ ! -x "$folder/bin/python" ] || exit 0

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# The first Python 3.13 that runs; a shim of pyenv's may be there and not run.
python313() {
    local python
    for python in python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

python="$(python313)" || {
    say "no Python 3.13 (Debian, Ubuntu: apt-get install python3.13-venv, or pyenv install 3.13)"
    exit 3
}
making="$folder.$$"
trap 'rm -rf "$making"' EXIT
mkdir -p "$(dirname "$folder")"
"$python" -m venv "$making"
say "installing LocalStack $version, about 230 MB"
"$making/bin/python" -m pip install --quiet --disable-pip-version-check --constraint tests/support/localstack-constraints.txt \
    "localstack-core[base-runtime]==$version" moto-ext service_identity >&2 </dev/null
# It is run as a module, which knows no path of its own.
mv "$making" "$folder"
