#!/usr/bin/env bash
# Installs Debian packages if a program is missing, or says how to.
#
#   ./scripts/require.sh PROGRAM PACKAGE…
set -euo pipefail
program=$1
shift
command -v "$program" >/dev/null && exit
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq && apt-get install -y -qq "$@"
else
    echo "no program $program; on Debian: sudo apt-get install $*"
    exit 1
fi
