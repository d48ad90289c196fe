#!/usr/bin/env bash
# Tests the audio plug-in: in a host that processes offline, and the built library as hosts load it. Needs Rust and a C
# linker.
#
#   ./scripts/test-plugin.sh
#   WGRU_DATA=FOLDER …          also runs the models in FOLDER/real
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
manifest=apps/plugin/Cargo.toml

step 'formatting and lints'
cargo fmt --manifest-path "$manifest" --check
cargo clippy --manifest-path "$manifest" --all-targets --locked -- -D warnings

step 'the library'
cargo build --manifest-path "$manifest" --locked
folder=$(realpath "${CARGO_TARGET_DIR:-apps/plugin/target}")/debug
for library in libwgru_plugin.so libwgru_plugin.dylib wgru_plugin.dll; do
    [ ! -e "$folder/$library" ] || export WGRU_PLUGIN=$folder/$library
done
[ -n "${WGRU_PLUGIN:-}" ] || { echo "no library in $folder"; exit 1; }

step 'tests'
cargo test --manifest-path "$manifest" --locked

printf '\nAll checks of the plug-in passed.\n'
