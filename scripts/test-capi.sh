#!/usr/bin/env bash
# Tests the C interface: the crate, C and C++ programs with and without sanitizers, the installed library, and the two
# commands of capi/README.md. Needs Rust; installs compilers if it has permission. With cargo-c (`cargo install
# cargo-c`), also tests what it installs.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step 'compilers'
for program in cc c++ clang clang++ make pkg-config; do
    scripts/require.sh "$program" gcc g++ clang make pkg-config
done

# An absolute folder, because make runs in another one.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-capi/target}")
export CARGO_TARGET_DIR
manifest=capi/Cargo.toml

step 'formatting and lints'
cargo fmt --manifest-path "$manifest" --check
cargo clippy --manifest-path "$manifest" --all-targets --locked -- -D warnings
cargo clippy --manifest-path "$manifest" --lib --features gpu --locked -- -D warnings

step 'tests'
WGRU_REQUIRE_CLANG=1 cargo test --manifest-path "$manifest" --locked

step 'the commands of capi/README.md'
make -C capi
capi/build/stream tests/readers/import/proteus.json
capi/build/sequence tests/golden/torch_gru.safetensors

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# check PREFIX: compiles programs with what is installed there, and runs them.
check() {
    local prefix=$1 config
    config=$(find "$prefix" -name wgru.pc)
    export PKG_CONFIG_PATH=${config%/*}
    [ "$(pkg-config --modversion wgru)" = "$(sed -n 's/^version = "\(.*\)"/\1/p' "$manifest")" ]
    # shellcheck disable=SC2046
    cc capi/examples/stream.c $(pkg-config --cflags --libs wgru) -lm -o "$prefix/shared"
    readelf -d "$prefix/shared" | grep -q 'NEEDED.*libwgru\.so\.0\.2' || { echo 'no soname'; exit 1; }
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir wgru) "$prefix/shared" tests/readers/import/proteus.json
    # shellcheck disable=SC2046
    c++ -std=c++17 capi/examples/sequence.cpp \
        $(pkg-config --cflags --libs --static wgru | sed 's/-lwgru/-l:libwgru.a/') -o "$prefix/static"
    "$prefix/static" tests/golden/torch_gru.safetensors
}

step 'make install'
make -C capi install PREFIX="$out/make"
check "$out/make"

step 'cargo cinstall'
if cargo cinstall --version >/dev/null 2>&1; then
    cargo cinstall --release --locked --manifest-path "$manifest" --prefix "$out/cargo-c"
    check "$out/cargo-c"
else
    echo 'SKIPPED: cargo-c is not installed'
fi

printf '\nAll checks of the C interface passed.\n'
