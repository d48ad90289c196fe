#!/usr/bin/env bash
# Times this library and others on the same workloads, alternately, and prints the ratios with the goals.
#
#   WGRU_PEERS=FOLDER ./scripts/bench.sh [PEER...]
#
# FOLDER contains the other programs: `FOLDER/run.sh PEER` prints lines of JSON like those of the example `bench`. It
# reads BENCH_ONLY (a workload) and BENCH_SECONDS (per measurement), and builds the program if necessary. The default
# peers are ort, rten, tract, torch and burn-wgpu. Peers with a wgpu backend are compared on the adapter, all others on
# the CPU. ROUNDS (3), BENCH_SECONDS (1), WORKLOADS (all seven) and OUT (a folder for the lines) may be set.
#
# The machine need not be idle: every round runs all programs on one workload one after another, and only ratios within
# a round are used.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=("$@")
[ $# -gt 0 ] || peers=(ort rten tract torch burn-wgpu)
: "${WGRU_PEERS:?set it to the folder of the programs to compare with}"
[ -x "$WGRU_PEERS/run.sh" ] || { echo "no $WGRU_PEERS/run.sh"; exit 1; }
export BENCH_SECONDS=${BENCH_SECONDS:-1}
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
lines=$out/lines.jsonl
: >"$lines"

cargo build --release --locked --example bench
bench=${CARGO_TARGET_DIR:-target}/release/examples/bench

ours() { # device, threads, workload
    "$bench" --json --device "$1" --threads "$2" --only "$3" --seconds "$BENCH_SECONDS" >>"$lines"
}
theirs() { # peer, workload; fails if it prints no line
    BENCH_ONLY=$2 "$WGRU_PEERS/run.sh" "$1" 2>"$out/$1.log" | { grep '^{' || true; } >"$out/last.jsonl"
    cat "$out/last.jsonl"
    [ -s "$out/last.jsonl" ]
}
# Time from the start of a process to its first result, if the peer reports it.
first() { # peer
    BENCH_SECONDS=0.1 theirs "$1" stream-h128 >/dev/null || return 0
    local ms
    ms=$(sed -n 's/^first result after \([0-9.]*\) ms$/\1/p' "$WGRU_PEERS/out/last.err")
    sed -n "1s/\"workload\".*\"unit\":\"us\"/\"workload\":\"first-result\",\"median\":$ms,\"min\":$ms,\"unit\":\"ms\"/p" \
        "$out/last.jsonl"
}

# Builds the peers, and finds those that do not run.
missing=() cpu=() gpu=()
for peer in "${peers[@]}"; do
    if ! BENCH_SECONDS=0.1 theirs "$peer" stream-h128 >/dev/null; then
        missing+=("$peer ($(tail -n 1 "$out/$peer.log"))")
    elif [[ $peer == *wgpu* ]]; then gpu+=("$peer"); else cpu+=("$peer"); fi
done

for round in $(seq "${ROUNDS:-3}"); do
    for work in ${WORKLOADS:-stream-h128 stream-h256 stream-h512 seq-b1 seq-b32 seq-b64-h512 train-b32}; do
        echo "round $round: $work" >&2
        [[ $work != stream* ]] || ours cpu 1 "$work"
        ours cpu 2 "$work"
        # Peers without this workload print nothing.
        for peer in "${cpu[@]}"; do theirs "$peer" "$work" >>"$lines" || true; done
        [[ ${#gpu[@]} -gt 0 && $work != stream* ]] || continue
        ours gpu 2 "$work"
        for peer in "${gpu[@]}"; do theirs "$peer" "$work" >>"$lines" || true; done
    done
    [ ${#gpu[@]} -gt 0 ] || continue
    ours gpu 2 first-result
    for peer in "${gpu[@]}"; do first "$peer" >>"$lines"; done
done

"$bench" ratios "$lines"
for peer in "${missing[@]}"; do echo "Not compared, because it failed to run: $peer"; done
echo "Measurements: $lines"
