#!/usr/bin/env bash
# Checks that take too long for every change. docs/reliability.md says what they show.
#
#   scripts/proof.sh loom             the thread pool in every interleaving of its threads, and that each weaker memory
#                                     ordering is noticed: minutes
#   scripts/proof.sh asan             the tests of the library under AddressSanitizer, with leaks
#   scripts/proof.sh tsan             the tests with threads under ThreadSanitizer (builds std: rustup component add rust-src)
#   scripts/proof.sh rtsan [BLOCKS]   a million blocks of streams under RealtimeSanitizer: a minute once it is built
#   scripts/proof.sh miri             tests of the CPU code under Miri (rustup +nightly component add miri)
#   scripts/proof.sh soak             10⁹ steps of a stream, 10⁵ models, 10⁴ restarts, 1,000 killed saves, full disks
#   scripts/proof.sh fuzz [SECONDS [TARGET…]]
#                                     each fuzz target for 1800 seconds, or SECONDS
#   WGRU_DATA=FOLDER …                soak, rtsan and fuzz also use the files of FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
base=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
# The CPU device with everything: sanitizers and Miri know nothing of drivers.
features=(--no-default-features --features autograd)
# Tests that check safe code for hours under a sanitizer, or the sources themselves, are left out.
tests=(--lib --test bounds --test damage --test device --test files --test gradients --test hostile_files --test layers
    --test onnx --test stream --test training)

# Makes a folder with the sources, and the manifest without the dev-dependencies that only examples, benches and shaders
# need. So each flavour compiles 40 other crates instead of 130.
lean() {
    local name
    mkdir -p "$base/lean"
    for name in src shaders tests docs README.md; do ln -sfn "$root/$name" "$base/lean/$name"; done
    sed -E '/^(clap|criterion|csv|ctrlc|env_logger|hound|naga|plotters|realfft|rubato) = /d; /features = \["noop"\]/d
        /^\[\[bench\]\]/,$d' Cargo.toml >"$base/lean/Cargo.toml"
    [ "$base/lean/Cargo.lock" -nt Cargo.lock ] || cp Cargo.lock "$base/lean/"
    cd "$base/lean"
}

# sanitized NAME ARGUMENT…: runs cargo with a sanitizer of the stable compiler, in a target folder of its own.
sanitized() {
    local name=$1
    shift
    lean
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$base/$name" RUSTFLAGS="-Zsanitizer=$name -Cforce-frame-pointers=yes" \
        CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_BUILD_TARGET=$host cargo "$@"
}

loom() {
    local copy ordering line
    cargo fmt --check --manifest-path tools/models/Cargo.toml
    CARGO_TARGET_DIR="$base/models" cargo clippy --quiet --locked --manifest-path tools/models/Cargo.toml -- -D warnings
    CARGO_TARGET_DIR="$base/models" cargo build --quiet --locked --manifest-path tools/models/Cargo.toml
    "$base/models/debug/models"
    # Each ordering stronger than Relaxed, weakened alone, must fail a model.
    copy=$(mktemp -d)
    mkdir -p "$copy/src" "$copy/tools"
    cp -r src/cpu "$copy/src/cpu"
    cp -r tools/models "$copy/tools/models"
    rm -rf "$copy/tools/models/target"
    grep -nE 'Ordering::(Acquire|Release|SeqCst)' src/cpu/thread_pool.rs | cut -d: -f1 | while read -r line; do
        ordering=$(sed -nE "${line}s/^ *//p" src/cpu/thread_pool.rs)
        sed -E "${line}s/Ordering::(Acquire|Release|SeqCst)/Ordering::Relaxed/" src/cpu/thread_pool.rs \
            >"$copy/src/cpu/thread_pool.rs"
        CARGO_TARGET_DIR="$base/models" cargo build --quiet --locked --manifest-path "$copy/tools/models/Cargo.toml"
        if "$base/models/debug/models" >"$copy/out" 2>&1; then
            echo "not noticed: line $line made Relaxed: $ordering"
        else
            echo "noticed by $(($(grep -c interleavings "$copy/out") + 1)): line $line made Relaxed: $ordering"
        fi
    done
    rm -rf "$copy"
}

# Tests that bound processor time allow ten times as much. The sanitizer keeps freed memory in quarantine; the tests that
# memory stays flat run long enough to fill a small one before they first measure.
asan() {
    export WGRU_SLOWDOWN=10
    (ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=64 WGRU_SOAK=${WGRU_SOAK:-0.05} \
        sanitized address test "${features[@]}" --test soak "$@")
    ASAN_OPTIONS=detect_leaks=1 sanitized address test --no-fail-fast "${features[@]}" "${tests[@]}" "$@"
}

# Builds std, too: otherwise the sanitizer does not see its locks.
tsan() {
    TSAN_OPTIONS=halt_on_error=1 sanitized thread -Zbuild-std test --no-fail-fast "${features[@]}" \
        --lib --test device --test files --test soak --test stream "$@"
}

# miri [OPTION…]: the library's tests of `cpu`, where most unsafe code is, or what the options of `cargo test` name.
miri() {
    [ $# -gt 0 ] || set -- --lib -- cpu::
    lean
    MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}" CARGO_TARGET_DIR="$base/miri" \
        cargo +nightly miri test "${features[@]}" "$@"
}

# Streams in functions where each call of the C library that allocates, locks or makes a system call ends the program.
# Three mistakes must end it.
rtsan() {
    local mistake report bin="$base/realtime/$host/release/realtime"
    cargo fmt --check --manifest-path tools/realtime/Cargo.toml
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$base/realtime" cargo clippy --quiet --locked \
        --manifest-path tools/realtime/Cargo.toml -- -D warnings
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$base/realtime" RUSTFLAGS="-Zsanitizer=realtime -Cforce-frame-pointers=yes" \
        cargo build --quiet --locked --release --manifest-path tools/realtime/Cargo.toml --target "$host"
    for mistake in allocate lock print; do
        report=$("$bin" "$mistake" 2>&1) || true
        [[ $report == *'ERROR: RealtimeSanitizer'* ]] || { echo "RealtimeSanitizer does not notice: $mistake"; exit 1; }
    done
    "$bin" "${1:-1000000}" ${WGRU_DATA:+"$WGRU_DATA"}
}

soak() {
    WGRU_SOAK=${WGRU_SOAK:-1} cargo test --locked --test soak -- --nocapture --test-threads 1 "$@"
    WGRU_SOAK=${WGRU_SOAK:-1} cargo test --locked --test files -- --nocapture saving
}

# The flags of cargo-fuzz, for the stable compiler.
fuzz() {
    local seconds=${1:-1800} target targets bin="$base/fuzz/$host/release"
    shift || true
    targets=("$@")
    [ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' fuzz/Cargo.toml)
    cargo test --quiet --locked "${features[@]}" --test damage -- --ignored corpora
    RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$base/fuzz" RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cdebug-assertions \
        -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth \
        -Cllvm-args=-simplifycfg-branch-fold-threshold=0" \
        cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$host"
    for target in "${targets[@]}"; do
        mkdir -p "fuzz/artifacts/$target"
        # A single request of 100 MB, a run of 10 seconds (the instrumented program is about ten times as slow), and 1 GB
        # in all, of which the sanitizer takes most, are failures.
        "$bin/$target" "fuzz/corpus/$target" -max_total_time="$seconds" -artifact_prefix="fuzz/artifacts/$target/" \
            -malloc_limit_mb=100 -rss_limit_mb=1024 -timeout=10 -max_len=131072 -print_final_stats=1 2>&1 |
            tee "fuzz/artifacts/$target/log" | sed -n "/DONE\|ERROR\|SUMMARY\|panicked/s/^/$target: /p"
        [ "${PIPESTATUS[0]}" = 0 ] || { echo "$target failed: fuzz/artifacts/$target"; exit 1; }
    done
}

case ${1:-} in
    loom | asan | tsan | rtsan | miri | soak | fuzz) "$@" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 1 ;;
esac
