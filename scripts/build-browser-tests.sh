#!/usr/bin/env bash
# Builds the library's tests as wasm modules, for browsers.
#
#   ./scripts/build-browser-tests.sh FOLDER FEATURES [TEST…]    into FOLDER, with these target features: the named files
#                                                               of tests, or all
set -euo pipefail
cd "$(dirname "$0")/../web"
folder=$1 features=$2
shift 2

[ -d node_modules ] || npm ci --no-audit --no-fund --silent
target=${CARGO_TARGET_DIR:-$PWD/target}
rustup target add wasm32-unknown-unknown 2>/dev/null
cargo build --release --locked --quiet -p bindgen

rm -rf "$folder"
# Skip Cargo's own copies, which have a hash in their names.
built=(find "$target/wasm32-unknown-unknown/debug/examples" -name '*.wasm' '!' -name '*-*')
"${built[@]}" -delete 2>/dev/null || true
named=(--examples)
[ $# -eq 0 ] || named=("${@/#/--example=}")
# Tests wait by suspending themselves: src/wait.rs.
RUSTFLAGS="--cfg wgru_jspi ${features:+-C target-feature=$features}" cargo build --quiet --locked \
    --target wasm32-unknown-unknown --package browser-tests "${named[@]}"
for module in $("${built[@]}"); do
    "$target/release/bindgen" "$module" "$folder" "$(basename "$module" .wasm)"
done
