#!/bin/sh
# As the official image's: options alone, or a configuration file, are redis-server's.
set -e
case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac
exec "$@"
