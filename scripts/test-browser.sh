#!/usr/bin/env bash
# Runs the library's tests as wasm in Chromium, on WebGPU and on the CPU. Needs Node; Chromium is installed if missing.
#
#   ./scripts/test-browser.sh             with relaxed SIMD; CHROMIUM=PATH names another browser
#   ./scripts/test-browser.sh --kernels   only the tests of kernels and streams
#   ./scripts/test-browser.sh --all       also with fewer instructions, on the CPU
set -euo pipefail
cd "$(dirname "$0")/.."

for file in tests/*.rs tests/*/main.rs; do
    grep -q "\b$file\b" web/browser-tests/Cargo.toml || { echo "$file: web/browser-tests/Cargo.toml does not name it"; exit 1; }
done

export CHROMIUM="${CHROMIUM:-$(command -v chromium || echo /usr/bin/chromium)}"
./scripts/require.sh "$CHROMIUM" chromium
built=${CARGO_TARGET_DIR:-$PWD/web/target}/browser-tests

# With the target features that the package uses in this browser.
wanted=()
[ "${1:-}" != --kernels ] || wanted=(kernels stream)
./scripts/build-browser-tests.sh "$built/all" +simd128,+relaxed-simd "${wanted[@]}"
node web/browser-tests/run.mjs "$built/all"

[ "${1:-}" = --all ] || exit 0

# Without some of these features, only the code paths on the CPU differ, not those on the GPU.
for features in +simd128 ''; do
    ./scripts/build-browser-tests.sh "$built/cpu" "$features" golden kernels layers
    node web/browser-tests/run.mjs "$built/cpu" --cpu
done
