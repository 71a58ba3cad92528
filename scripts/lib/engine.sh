# shellcheck shell=bash
# To be sourced after prepare.sh: a container engine for tests, with images that need no registry.
#
# `need_engine` finds the engine that answers, or installs and starts one of its own (root, or sudo without a password):
# its socket and data are apart from any other's, and `stop_engine` ends it. It fails, with the reason in `no_engine`,
# where no engine can run; whoever calls must say so loudly.

# shellcheck disable=SC2034 # Read by whoever calls.
no_engine=""
engine_pid=""
engine_home=""

# One that hangs does not.
engine_answers() { timeout 20 docker info >/dev/null 2>&1; }

need_engine() {
    if ! engine_answers; then
        start_engine || return 1
    fi
    if ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
        (install_packages docker-compose) || { no_engine="no docker compose"; return 1; }
    fi
    local images
    images="$(scripts/local-images)" || { no_engine="scripts/local-images failed"; return 1; }
    local line
    while IFS= read -r line; do export "${line?}"; done <<<"$images"
}

start_engine() {
    if ! command -v docker >/dev/null || ! command -v dockerd >/dev/null; then
        (install_packages docker.io) || { no_engine="docker.io could not be installed"; return 1; }
        # Where there is no systemd, the package may have started one.
        if engine_answers; then return 0; fi
    fi
    # Two engines would change the same network rules.
    local said status=0
    said="$(timeout 20 docker info 2>&1 >/dev/null)" || status=$?
    if [ -e /var/run/docker.sock ] && { [ "$status" -eq 124 ] || [[ "$said" = *"permission denied"* ]]; }; then
        no_engine="an engine is there (/var/run/docker.sock) and does not let us in or does not answer: see \`docker info\`"
        return 1
    fi
    local -a as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    engine_home="$(mktemp -d)"
    # In a group of its own: Ctrl-C is for the tests, and the engine is stopped after them.
    setsid "${as_root[@]}" dockerd --host "unix://$engine_home/docker.sock" --group "$(id -gn)" \
        --data-root "$engine_home/data" --exec-root "$engine_home/exec" --pidfile "$engine_home/pid" \
        >"$engine_home/log" 2>&1 </dev/null &
    # Its own, or that of the sudo that hands signals on to it: known from here, since Ctrl-C may come while it starts.
    engine_pid=$!
    local begun=$SECONDS
    while ((SECONDS < begun + 30)); do
        if DOCKER_HOST="unix://$engine_home/docker.sock" engine_answers; then
            export DOCKER_HOST="unix://$engine_home/docker.sock"
            say "started a container engine for the tests (after $((SECONDS - begun)) s)"
            return 0
        fi
        sleep 0.5
    done
    # shellcheck disable=SC2034 # for whoever sources this
    no_engine="dockerd does not start: $(grep -v 'level=info' "$engine_home/log" | tail -n 1)"
    stop_engine
    return 1
}

# Ends the engine that was started here, and removes what it kept. Nothing to do for any other.
stop_engine() {
    local -a as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    if [ -n "$engine_pid" ]; then
        "${as_root[@]}" kill "$engine_pid" 2>/dev/null || true
        local _
        for _ in $(seq 100); do
            [ -e "/proc/$engine_pid" ] || break
            sleep 0.2
        done
        if [ -e "/proc/$engine_pid" ]; then
            say "the container engine does not end (process $engine_pid); its data stay in $engine_home"
            engine_home=""
        fi
    fi
    if [ -n "$engine_home" ]; then
        # It leaves the network of its host mounted there, where only root may look.
        # shellcheck disable=SC2016 # So that root expands it.
        "${as_root[@]}" sh -c 'umount "$1"/exec/netns/* 2>/dev/null' _ "$engine_home" || true
        "${as_root[@]}" rm -rf "$engine_home" || say "could not remove $engine_home"
    fi
    engine_pid="" engine_home=""
    unset DOCKER_HOST
}
