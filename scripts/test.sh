#!/usr/bin/env bash
# Sets up and runs the checks of the project. Needs Rust (rustup) and a C linker.
#
#   ./scripts/test.sh quick     formatting, lints, and the library's tests on the CPU: 3 minutes once it is built
#   ./scripts/test.sh           also examples, other platforms, and the npm package in Chromium: 20 minutes on two cores
#   ./scripts/test.sh ci        also the tests of kernels and streams as wasm in Chromium
#   ./scripts/test.sh full      also all tests of the library as wasm, also with fewer SIMD instructions, the npm package
#                               in Firefox, WebKit and Deno, what compilers of GPU drivers make of the kernels, the
#                               report page, the C interface, the Python package, the functions for DataFusion, the
#                               desktop application, the audio plug-in, models of the thread pool, streams under
#                               RealtimeSanitizer and 30 seconds of each fuzz target: more than two hours
#   WGRU_REQUIRE_GPU=1 …        a missing adapter is a failure, as in CI
#   WGRU_DATA=FOLDER …          also runs the forecast on FOLDER/forecast/ETTh1.csv, the models in FOLDER/models, and
#                               the ONNX tests in FOLDER/suites
set -euo pipefail
cd "$(dirname "$0")/.."
tier=${1:-default}
case $tier in quick | default | ci | full) ;; *) echo "no tier $tier: quick, ci, full, or none"; exit 1 ;; esac

# An incomplete WGRU_DATA is an error, not a reason to check less.
for part in forecast/ETTh1.csv models suites/onnx_node_1.16.2; do
    [ -z "${WGRU_DATA:-}" ] || [ -e "$WGRU_DATA/$part" ] || { echo "WGRU_DATA has no $part"; exit 1; }
done
[ -n "${WGRU_DATA:-}" ] || echo 'SKIPPED: ETTh1, the models of others and the ONNX tests; WGRU_DATA is not set'

# Names a step, and the minutes since the start.
step() { printf '\n== %s (%d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

# run_tests OPTION…: runs tests and lists the slowest ten. Without cargo-nextest, which runs each test in a process of
# its own, they run in Rust's harness, which does not say how long they took.
run_tests() {
    if ! cargo nextest --version >/dev/null 2>&1; then
        cargo test --locked "$@" ${skipped:+-- --skip "$skipped"}
        return
    fi
    local log status=0
    log=$(mktemp)
    cargo nextest run --locked --no-fail-fast --color never --status-level all "$@" \
        ${skipped:+-E "not test($skipped)"} 2>&1 | tee "$log" || status=$?
    printf '\nThe slowest tests, in seconds:\n'
    sed -nE 's/^ *(PASS|FAIL) \[ *([0-9.]+)s\] (\([^)]*\) )?(.*)/\2 \4/p' "$log" | sort -rn | sed -n 1,10p
    rm "$log"
    return "$status"
}
skipped=

# A Vulkan loader and Mesa's software adapter (lavapipe), unless a Vulkan driver is installed already.
step 'software Vulkan adapter'
has_driver() { compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null; }
if [ "$(uname -s)" = Linux ] && ! has_driver; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && apt-get install -y -qq mesa-vulkan-drivers libvulkan1
    else
        echo 'No Vulkan driver is installed, so the GPU tests will be skipped. To run them:'
        echo '    sudo apt-get install mesa-vulkan-drivers libvulkan1'
    fi
fi
# Mesa requires this directory, and otherwise prints a warning for each device.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$(mktemp -d)}"

step 'formatting'
cargo fmt --check

step 'lints, with and without the GPU'
cargo clippy --all-targets --locked -- -D warnings
[ "$tier" = quick ] || cargo clippy --all-targets --locked --no-default-features --features autograd -- -D warnings

if [ "$tier" = quick ]; then
    step 'tests on the CPU'
    skipped=gpu
    run_tests --lib --bins --tests
    printf '\nThe quick checks passed. SKIPPED: the tests named for a GPU, the examples and the documentation.\n'
    exit
fi

step 'documentation'
RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked --quiet

step 'adapters'
# The command is a separate workspace with other features of wgpu, so wgpu is built again. A low level keeps that short.
cli() {
    CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo "$1" --locked --manifest-path cli/Cargo.toml \
        --target-dir "${CARGO_TARGET_DIR:-target}" "${@:2}"
}
wgru() { cli run --quiet -- "$@"; }
adapters=$(wgru devices)
printf '%s\n' "$adapters"
has_adapter=true
case $adapters in *'no adapter'*) has_adapter=false ;; esac
$has_adapter || echo 'SKIPPED: the tests named for a GPU do nothing, because there is no adapter'

step 'tests, on the CPU and on the adapter above'
run_tests --lib --bins --tests
cargo test --locked --examples
cargo test --locked --doc

step 'models that others trained'
cargo test --locked --test real_models -- --nocapture
if [ -n "${WGRU_DATA:-}" ]; then
    cargo run --quiet --locked --example g2p -- --model "$WGRU_DATA/models/g2p_en" --check
fi

step 'tests without the feature gpu'
# The same tests ran above, in a build with `gpu`. Only `full` repeats all of them; the lints have checked the rest.
without=(--lib --test device --test kernels --test stream)
[ "$tier" != full ] || without=(--lib --tests)
run_tests --no-default-features --features autograd "${without[@]}"

step 'examples'
out=$(mktemp -d)
# forecast NAME OPTION…: runs the forecast. The last line of its output has the results as JSON.
forecast() {
    local name=$1
    shift
    cargo run --quiet --locked --example forecast -- "$@" --json --plot "$out/$name.svg" >"$out/$name.txt"
    cat "$out/$name.txt"
    tail -n 1 "$out/$name.txt" >"$out/$name.json"
}
# figure NAME KEY: prints one number of a run.
figure() { sed "s/.*\"$2\":\([-0-9.e]*\).*/\1/" "$out/$1.json"; }
# holds 'A <= B': prints the comparison and fails, unless it is true.
holds() { awk "BEGIN { exit !($1) }" || { echo "failed check: $1"; exit 1; }; }

forecast seattle --save "$out/seattle.safetensors"
holds "$(figure seattle rmse) <= 2.75"
holds "$(figure seattle rmse) < $(figure seattle persistence_rmse)"
forecast again --load "$out/seattle.safetensors"
holds "$(figure again rmse) == $(figure seattle rmse)"
forecast cpu --device cpu --epochs 1 --save "$out/cpu.safetensors"
if ! $has_adapter; then
    echo 'SKIPPED: forecast on the GPU, no adapter'
else
    forecast gpu --device gpu --epochs 1 --save "$out/gpu.safetensors"
    holds "($(figure gpu train_loss) - $(figure cpu train_loss))^2 <= 1e-8"
fi
if [ -n "${WGRU_DATA:-}" ]; then
    forecast etth1 --csv "$WGRU_DATA/forecast/ETTh1.csv" --column OT --horizon 24 --window 96 \
        --train 8640 --validation 2880 --test 2880 --save "$out/etth1.safetensors"
    holds "$(figure etth1 mse_standardized) <= 0.030"
fi

classify() { cargo run --quiet --locked --example classify -- "$@"; }
classify --json --plot "$out/surnames.svg" --save "$out/surnames model.safetensors" | tee "$out/surnames.txt"
tail -n 1 "$out/surnames.txt" >"$out/surnames.json"
holds "$(figure surnames accuracy) >= 0.6"
[ "$(echo Kobayashi | classify --load "$out/surnames model.safetensors" | cut -f 1)" = Japanese ]
cargo run --quiet --locked --example generate -- --quick --json --plot "$out/text.svg" --save "$out/text.safetensors" \
    </dev/null | tee "$out/text.txt"
tail -n 1 "$out/text.txt" >"$out/text.json"
holds "$(figure text nats_per_character) <= 2.2"

cargo run --quiet --locked --example cells -- --quick --results "$out/cells.jsonl" --table "$out/cells.csv" --plot "$out/cells.svg" | tee "$out/cells.txt"
holds "$(awk -F, '$1 == "adding-50" && $2 == "units" && $3 == "gru" { print $17 }' "$out/cells.csv") <= 0.01"
cargo run --quiet --locked --example anomaly -- --quick --save "$out/anomaly.safetensors" --plot "$out/anomaly.svg"
# Only checks that the plot is drawn: the network cannot forecast after so few updates.
cargo run --quiet --locked --example gates -- --epochs 1 --plot "$out/gates.svg"
if [ -n "${WGRU_DATA:-}" ]; then
    wgru check "$WGRU_DATA/suites/onnx_node_1.16.2" --device cpu
    if $has_adapter; then
        wgru check "$WGRU_DATA/suites/onnx_node_1.16.2" --device gpu
    fi
fi

step 'the command wgru'
cargo fmt --check --manifest-path cli/Cargo.toml
cli clippy --all-targets -- -D warnings
cli test
cargo fmt --check --manifest-path report/Cargo.toml
cargo clippy --locked --all-targets --manifest-path report/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" -- -D warnings

step 'other platforms'
targets=(wasm32-unknown-unknown x86_64-pc-windows-gnu aarch64-apple-darwin aarch64-linux-android)
rustup target add "${targets[@]}"
# One command for all targets, so that they are checked at the same time.
cargo check --quiet --locked --lib "${targets[@]/#/--target=}"
cargo check --quiet --locked --lib --no-default-features "${targets[@]/#/--target=}"
cargo check --quiet --locked --lib --features gl

step 'the npm package, in Chromium'
if command -v npm >/dev/null; then
    scripts/test-web.sh
    case $tier in ci | full)
        step 'the tests above as wasm, in Chromium, on WebGPU and on the CPU'
        if [ "$tier" = full ]; then scripts/test-browser.sh --all; else scripts/test-browser.sh --kernels; fi ;;
    esac
else
    echo 'SKIPPED: npm is not installed'
fi

if [ "$tier" = full ]; then
    step 'the report page, in Chromium'
    scripts/build-report.sh
    (cd web && node tests/report.test.mjs)
    step 'gradients without optimizations, as in the debug builds of programs: stacks of 2 MiB suffice'
    CARGO_PROFILE_DEV_OPT_LEVEL=0 cargo test --locked --no-default-features --features autograd --test gradients \
        --target-dir "${CARGO_TARGET_DIR:-target}/unoptimized"
    step 'the lab without a GPU'
    scripts/gpu-lab.sh
    step 'the npm package in Firefox, WebKit and Deno'
    scripts/test-engines.sh --built
    step 'the C interface'
    scripts/test-capi.sh
    step 'the Python package'
    scripts/test-python.sh
    step 'the functions for DataFusion'
    scripts/test-datafusion.sh
    step 'the desktop application'
    scripts/test-desktop.sh
    step 'the audio plug-in'
    scripts/test-plugin.sh
    step 'models of the thread pool'
    scripts/proof.sh loom
    step 'streams under RealtimeSanitizer'
    scripts/proof.sh rtsan
    step 'fuzz targets'
    scripts/proof.sh fuzz 30
fi

step 'size of the tree'
scripts/size.sh --crates

$has_adapter || printf '\nSKIPPED: everything on a GPU, because there is no adapter.\n'
step 'all checks passed'
