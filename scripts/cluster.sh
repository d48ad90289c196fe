#!/usr/bin/env bash
# Starts a Ballista cluster on this machine: one scheduler and two executors with the functions of wgru, on loopback.
# Stops it at the end of this script: Ctrl-C. Needs Rust.
#
#   ./scripts/cluster.sh FOLDER     queries may name the models in FOLDER
#   PORT=50050                      port of the scheduler; the next four are those of the executors
#   CORES=1                         partitions that an executor runs at the same time; by default half of the cores
#   PROFILE=release                 profile of cargo
set -euo pipefail
models=$(realpath "${1:?expected the folder of models: ./scripts/cluster.sh FOLDER}")
cd "$(dirname "$0")/.."

port=${PORT:-50050}
cores=${CORES:-$((($(nproc) + 1) / 2))}
profile=${PROFILE:-release}
manifest=integrations/datafusion/Cargo.toml
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-integrations/datafusion/target}")
export CARGO_TARGET_DIR

echo 'building; the first time takes long, because DataFusion is large'
cargo build --manifest-path "$manifest" --locked --profile "$profile" --bin wgru-datafusion
folder=$profile
[ "$profile" != dev ] || folder=debug
program=$CARGO_TARGET_DIR/$folder/wgru-datafusion

work=$(mktemp -d)
processes=()
stop() {
    [ ${#processes[@]} = 0 ] || kill "${processes[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 0' INT TERM

"$program" scheduler --bind "127.0.0.1:$port" &
processes+=($!)
for k in 1 2; do
    "$program" executor --scheduler "127.0.0.1:$port" --models "$models" --folder "$work/$k" --cores "$cores" \
        --port $((port + 2 * k - 1)) --grpc-port $((port + 2 * k)) &
    processes+=($!)
done
"$program" wait --scheduler "127.0.0.1:$port" --executors 2

cat <<END
The cluster runs. In another terminal:
  $program sql --scheduler 127.0.0.1:$port --table t=TABLE.parquet --out OUT.parquet \\
    "SELECT id, gru_forecast('MODEL.safetensors', x) AS y FROM t"
Ctrl-C stops it.
END
wait -n
echo 'a process of the cluster has ended' >&2
exit 1
