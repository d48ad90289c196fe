#!/usr/bin/env bash
# Runs the library's tests as wasm in Chromium, on WebGPU and on the CPU. Needs Node; Chromium is installed if missing.
#
#   ./scripts/test-browser.sh             with relaxed SIMD; CHROMIUM=PATH names another browser
#   ./scripts/test-browser.sh --kernels   only the tests of kernels and streams
#   ./scripts/test-browser.sh --all       also with fewer instructions, on the CPU
set -euo pipefail
cd "$(dirname "$0")/../web"

for file in ../tests/*.rs ../tests/*/main.rs; do
    grep -q "\b${file#../}\b" browser-tests/Cargo.toml || { echo "$file: web/browser-tests/Cargo.toml does not name it"; exit 1; }
done

export CHROMIUM="${CHROMIUM:-$(command -v chromium || echo /usr/bin/chromium)}"
if [ ! -x "$CHROMIUM" ]; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && apt-get install -y -qq chromium
    else
        echo "no browser at $CHROMIUM; on Debian: sudo apt-get install chromium"
        exit 1
    fi
fi
[ -d node_modules ] || npm ci --no-audit --no-fund --silent

target=${CARGO_TARGET_DIR:-$PWD/target}
rustup target add wasm32-unknown-unknown 2>/dev/null
cargo build --release --locked --quiet -p bindgen

# modules FOLDER RUSTFLAGS TEST…: builds the named test files, or all, as modules in FOLDER.
modules() {
    local folder=$1 flags=$2 module
    shift 2
    rm -rf "$folder"
    # Skip Cargo's own copies, which have a hash in their names.
    local -a built=(find "$target/wasm32-unknown-unknown/debug/examples" -name '*.wasm' '!' -name '*-*')
    "${built[@]}" -delete 2>/dev/null || true
    # Tests wait by suspending themselves: src/wait.rs.
    RUSTFLAGS="--cfg wgru_jspi $flags" cargo build --quiet --locked --target wasm32-unknown-unknown \
        --package browser-tests "${@:---examples}"
    for module in $("${built[@]}"); do
        "$target/release/bindgen" "$module" "$folder" "$(basename "$module" .wasm)"
    done
}

# With the target features that the package uses in this browser.
wanted=()
[ "${1:-}" != --kernels ] || wanted=(--example kernels --example stream)
modules "$target/browser-tests/all" '-C target-feature=+simd128,+relaxed-simd' "${wanted[@]}"
node browser-tests/run.mjs "$target/browser-tests/all"

[ "${1:-}" = --all ] || exit 0

# Without some of these features, only the code paths on the CPU differ, not those on the GPU.
for flags in '-C target-feature=+simd128' ''; do
    modules "$target/browser-tests/cpu" "$flags" --example golden --example kernels --example layers
    node browser-tests/run.mjs "$target/browser-tests/cpu" --cpu
done
