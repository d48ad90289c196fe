#!/usr/bin/env bash
# Builds and runs the desktop application, and passes on all options: ./scripts/desktop.sh --help
set -euo pipefail
cd "$(dirname "$0")/.."

exec cargo run --release --locked --manifest-path apps/desktop/Cargo.toml -- "$@"
