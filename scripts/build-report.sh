#!/usr/bin/env bash
# Builds the module of the report page into web/dist/report. Needs Rust (rustup).
set -euo pipefail
cd "$(dirname "$0")/../web"

rustup target add wasm32-unknown-unknown 2>/dev/null
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --release --locked --quiet -p bindgen
cargo build --profile wasm --locked --quiet -p report --lib --target wasm32-unknown-unknown
mkdir -p dist/report
"$target/release/bindgen" "$target/wasm32-unknown-unknown/wasm/report.wasm" dist/report glue
echo "dist/report/glue_bg.wasm: $(gzip -9 <dist/report/glue_bg.wasm | wc -c) bytes gzipped"
