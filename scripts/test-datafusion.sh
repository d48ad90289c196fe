#!/usr/bin/env bash
# Tests the functions for DataFusion and Ballista: lints, queries in one process, a cluster with an executor that is
# killed, and the two commands of the README. The first build of DataFusion takes long. Needs Rust.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-integrations/datafusion/target}")
export CARGO_TARGET_DIR
manifest=integrations/datafusion/Cargo.toml

step 'formatting and lints'
cargo fmt --manifest-path "$manifest" --check
cargo clippy --manifest-path "$manifest" --all-targets --locked -- -D warnings

step 'tests'
cargo test --manifest-path "$manifest" --locked

step 'a small benchmark, whose results must be equal'
cargo run --manifest-path "$manifest" --locked --example bench -- --windows 20000 --rounds 1

step 'the commands of integrations/datafusion/README.md'
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --manifest-path "$manifest" --locked --example bench -- --windows 2000 --rounds 1 --alone --folder "$out"
PORT=50150 PROFILE=dev scripts/cluster.sh "$out/models" &
cluster=$!
trap 'kill "$cluster"; wait "$cluster" || true; rm -rf "$out"' EXIT
program=$CARGO_TARGET_DIR/debug/wgru-datafusion
"$program" wait --scheduler 127.0.0.1:50150 --executors 2
query="SELECT id, gru_forecast('model.safetensors', x) AS y FROM t ORDER BY id"
"$program" sql --scheduler 127.0.0.1:50150 --table t="$out/t.parquet" --out "$out/cluster.parquet" "$query"
"$program" sql --models "$out/models" --table t="$out/t.parquet" --out "$out/alone.parquet" "$query"
cmp "$out/cluster.parquet" "$out/alone.parquet"

printf '\nAll checks of the functions for DataFusion passed.\n'
