#!/usr/bin/env bash
# Times the npm package and others in Chromium on the same workloads, alternately, and prints the ratios.
#
#   WGRU_PEERS=FOLDER ./scripts/bench-web.sh [FILTER…]
#
# `FOLDER/run.mjs TEXT` measures the programs whose label (`PEER BACKEND WORKLOAD tTHREADS`) contains TEXT in a browser,
# and prints a line of JSON for each. It serves WGRU_DIST, the package's folder web/dist, and reads BENCH_SECONDS (per
# measurement) and CHROMIUM. A FILTER selects the rows whose `BACKEND WORKLOAD tTHREADS` contain it: 'wasm seq', train.
# ROUNDS (3), BENCH_SECONDS (1) and OUT (a folder for the lines) may be set. Without web/dist, it builds the modules
# that it measures.
#
# The machine need not be idle: every round runs all programs on one workload one after another, and only ratios within
# a round are used. Slow programs are reported, never a failure. On a machine without a GPU, Chromium's adapter is
# SwiftShader: such times compare only with each other.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${WGRU_PEERS:?set it to the folder of the programs to compare with}"
[ -f "$WGRU_PEERS/run.mjs" ] || { echo "no $WGRU_PEERS/run.mjs"; exit 1; }
[ -d "$WGRU_PEERS/node_modules" ] || (cd "$WGRU_PEERS" && npm install --no-audit --no-fund --silent)
[ -f web/dist/wasm/full/relaxed.wasm ] || ./scripts/build-web.sh full/relaxed inference/relaxed
export WGRU_DIST=$PWD/web/dist BENCH_SECONDS=${BENCH_SECONDS:-1}
export CHROMIUM=${CHROMIUM:-$(command -v chromium || echo /usr/bin/chromium)}
[ -x "$CHROMIUM" ] || { echo "no browser at $CHROMIUM; on Debian: sudo apt-get install chromium"; exit 1; }
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
lines=$out/lines.jsonl
: >"$lines"

rows=('wasm stream-h128 t1' 'wasm seq-b32 t1' 'wasm seq-b32 t2' 'wasm train-b32 t1' 'wasm train-b32 t2'
    'webgpu-swiftshader seq-b32 t2' 'webgpu-swiftshader train-b32 t2')
# The others' names for a backend. `layers` computes another variant of the GRU.
declare -A others=([wasm]='onnxruntime-web wasm|tfjs wasm-ops|tfjs wasm-layers'
    [webgpu-swiftshader]='onnxruntime-web webgpu-swiftshader|tfjs webgpu-swiftshader-ops|tfjs webgpu-swiftshader-layers')
filters=("$@")
[ $# -gt 0 ] || filters=('')
wanted() { # row
    local filter
    for filter in "${filters[@]}"; do [[ $1 != *"$filter"* ]] || return 0; done
    return 1
}

for round in $(seq "${ROUNDS:-3}"); do
    for row in "${rows[@]}"; do
        wanted "$row" || continue
        echo "round $round: $row" >&2
        backend=${row%% *} work=${row#* }
        IFS='|' read -ra programs <<<"ours $backend|${others[$backend]}"
        for program in "${programs[@]}"; do
            # Others without this workload print nothing.
            (cd "$WGRU_PEERS" && node run.mjs "$program $work" 2>>"$out/log") >"$out/last.jsonl" ||
                echo "{\"program\":\"$program $work\",\"error\":\"run.mjs failed: $out/log\"}" >>"$lines"
            sed "s/^{/{\"round\":$round,\"row\":\"$row\",/" "$out/last.jsonl" >>"$lines"
        done
    done
done

node scripts/web-ratios.mjs "$lines"
echo "Measurements: $lines"
