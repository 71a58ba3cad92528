#!/usr/bin/env bash
# Makes what goes into an archive beside the program: completions, manual pages, notices. Run from the top of the project;
# into target/release-extra, where [package.metadata.dist] of Cargo.toml looks for them.
set -euo pipefail

host="$(rustc -vV | sed -n 's/^host: //p')"
# As `dist build` builds it, so that it has nothing left to build.
cargo build --locked --profile dist --features vendored,aws --target "$host" --bin brokerbench
program="${CARGO_TARGET_DIR:-target}/$host/dist/brokerbench"

extra=target/release-extra
rm -rf "$extra"
mkdir -p "$extra/completions" "$extra/man"
"$program" completions bash >"$extra/completions/brokerbench.bash"
"$program" completions zsh >"$extra/completions/_brokerbench"
"$program" completions fish >"$extra/completions/brokerbench.fish"
"$program" man >"$extra/man/brokerbench.1"
for command in $("$program" man | sed -n 's/^brokerbench\\-\([a-z]*\)(1)$/\1/p'); do
    "$program" man "$command" >"$extra/man/brokerbench-$command.1"
done
scripts/lib/notices.py >"$extra/NOTICES.txt"
find "$extra" -type f | sort
